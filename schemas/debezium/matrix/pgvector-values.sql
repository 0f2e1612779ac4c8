SELECT jsonb_build_object('id', id, 'c_vector', replace(c_vector::text, ',', ', '), 'c_any', replace(c_any::text, ',', ', '), 'c_half', replace(c_half::text, ',', ', '),
  'c_sparse', replace(c_sparse::vector::text, ',', ', '),
  'c_sparse_json', CASE WHEN c_sparse_json IS NOT NULL THEN json_build_object('dimensions', 5)::text END)
FROM vectors WHERE id < 1000 ORDER BY id;
