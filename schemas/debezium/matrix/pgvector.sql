-- Vectors of pgvector. Rows as in postgres.sql.
CREATE EXTENSION vector;
CREATE TABLE vectors (id int PRIMARY KEY, c_vector vector(3), c_any vector, c_half halfvec(3), c_sparse sparsevec(5), c_sparse_json sparsevec(5));
INSERT INTO vectors VALUES (1, '[1,2.5,-3]', '[0.1,0.2]', '[1,2.5,-3]', '{1:1.5,3:-2.25}/5', '{1:1.5,3:-2.25}/5');
INSERT INTO vectors (id) VALUES (2);
INSERT INTO vectors VALUES (3, '[0,0,0]', '[-0.1]', '[0,0,0]', '{}/5', '{}/5');
INSERT INTO vectors VALUES (4, '[3.4028235e38,1.1754944e-38,-3.4028235e38]', (SELECT array_agg(n / 7.0)::vector FROM generate_series(1, 1000) n), '[65504,6.1035156e-05,-65504]',
  '{1:3.4028235e38,2:0.1,3:0.2,4:0.3,5:-1e-38}/5', '{5:0.1}/5');
