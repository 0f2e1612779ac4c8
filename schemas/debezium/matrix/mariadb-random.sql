-- Rows of random values, for the live test alone: within what every mode can carry exactly, or is known to lose.
USE matrix;
SET @seed = SEED;
INSERT INTO matrix SELECT id, rand(@seed) < 0.5, floor(rand() * 256) - 128, floor(rand() * 256), floor(rand() * 65536) - 32768, floor(rand() * 65536), floor(rand() * 16777216) - 8388608, floor(rand() * 16777216),
  floor(rand() * 4294967296) - 2147483648, floor(rand() * 4294967296), cast(cast(floor(rand() * 4294967296) AS unsigned) << 32 | cast(floor(rand() * 4294967296) AS unsigned) AS signed),
  cast(floor(rand() * 4294967296) AS unsigned) << 32 | cast(floor(rand() * 4294967296) AS unsigned), round(rand(), 5), (rand() - 0.5) * pow(10, rand() * 600 - 300), round((rand() - 0.5) * 1e8, 2),
  cast(concat(floor(rand() * 1e15), floor(rand() * 1e15), '.', floor(rand() * 1e15), floor(rand() * 1e15)) AS decimal(65,30)), floor(rand() * 1e15),
  rand() < 0.5, floor(rand() * 32), cast(floor(rand() * 4294967296) AS unsigned) << 32 | cast(floor(rand() * 4294967296) AS unsigned),
  substr(md5(rand()), 1, 5), substr(md5(rand()), 1, 10), md5(rand()), substr(md5(rand()), 1, 10), unhex(substr(md5(rand()), 1, 10)), unhex(md5(rand())), unhex(repeat(md5(rand()), id % 5)),
  '1700-01-01' + INTERVAL floor(rand() * 200000) DAY, '1700-01-01' + INTERVAL floor(rand() * 1.5e10) SECOND, '1700-01-01' + INTERVAL floor(rand() * 1.5e10) SECOND, '1700-01-01' + INTERVAL floor(rand() * 1.5e16) MICROSECOND,
  '1970-01-02' + INTERVAL floor(rand() * 2e9) SECOND, '1970-01-02' + INTERVAL floor(rand() * 2e15) MICROSECOND, sec_to_time(floor(rand() * 86399)), sec_to_time(round(rand() * 86399, 3)), sec_to_time(round(rand() * 86399, 6)),
  1901 + floor(rand() * 255), elt(1 + floor(rand() * 3), 'a', 'b c', 'ü'), floor(rand() * 8), json_array(rand(), NULL, md5(rand())), point(rand() * 1e3, -rand())
FROM (SELECT seq AS id FROM seq_10_to_60) ids;
