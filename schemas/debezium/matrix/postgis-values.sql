-- Extended well-known binary, as the connector gives it; and what the object has beside it.
SELECT jsonb_build_object('id', id, 'c_point', encode(ST_AsEWKB(c_point), 'hex'), 'c_geometry', encode(ST_AsEWKB(c_geometry), 'hex'),
  'c_srid', encode(ST_AsEWKB(c_srid), 'hex'), 'c_srid_json', CASE WHEN c_srid_json IS NOT NULL THEN json_build_object('srid', ST_SRID(c_srid_json))::text END,
  'c_geography', encode(ST_AsEWKB(c_geography::geometry), 'hex'),
  'c_geometry_arr', CASE WHEN c_geometry_arr IS NOT NULL THEN
     '[' || array_to_string(ARRAY(SELECT encode(ST_AsEWKB(b), 'hex') FROM unnest(c_geometry_arr) WITH ORDINALITY u(b, n) ORDER BY n), ', ', 'null') || ']' END)
FROM shapes WHERE id < 1000 ORDER BY id;
