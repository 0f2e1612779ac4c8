-- Users who come, change and go: the same for the same seed on every machine. Of the table in schemas/postgres/users.sql.
--
--   CALL public.change_users(seed => 7, first => 1, last => 10000);                      -- as fast as the database is
--   CALL public.change_users(seed => 7, first => 10001, last => 20000, per_second => 1000);
--
-- Of a hundred changes 35 are new users, 50 updates, 5 updates with an address to which nothing can be sent, 10 deletes. 25 of
-- them are one transaction, and so have one time of commit: two changes of one user often have the same millisecond. A later
-- call goes on where `last` was.

-- A number from 0 to sides - 1, decided by n and the seed alone.
CREATE FUNCTION public.dice(n bigint, seed bigint, sides int) RETURNS int IMMUTABLE LANGUAGE sql AS
$$ SELECT ((hashint8extended(n, seed) & 9223372036854775807) % sides)::int $$;

CREATE PROCEDURE public.change_users(seed bigint, first int, last int, per_second int DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  kind int;
  target int;
BEGIN
  FOR n IN first..last LOOP
    kind := public.dice(n, seed, 100);
    target := NULL;
    IF kind >= 35 THEN
      -- Near the newest: so some are changed often.
      SELECT user_id INTO target FROM public.users
        WHERE user_id > (SELECT max(user_id) FROM public.users) - 1 - public.dice(n, seed + 1, 200) ORDER BY user_id LIMIT 1;
    END IF;
    IF target IS NULL THEN
      INSERT INTO public.users (full_name, email) VALUES (format(' User %s', n), format('User%s@Example.com', n));
    ELSIF kind < 60 THEN
      UPDATE public.users SET full_name = format('Çağla %s', n), updated_at = clock_timestamp() WHERE user_id = target;
    ELSIF kind < 85 THEN
      UPDATE public.users SET email = format('moved%s@example.org', n), updated_at = clock_timestamp() WHERE user_id = target;
    ELSIF kind < 90 THEN
      UPDATE public.users SET email = format('nowhere%s', n), updated_at = clock_timestamp() WHERE user_id = target;
    ELSE
      DELETE FROM public.users WHERE user_id = target;
    END IF;
    IF n % 25 = 0 THEN
      COMMIT;
      IF per_second > 0 THEN
        PERFORM pg_sleep((n - first + 1)::float / per_second - extract(epoch FROM clock_timestamp() - began));
      END IF;
    END IF;
  END LOOP;
  COMMIT;
END $$;
