-- Source table of the plugin `users`: topic postgres.public.users
CREATE TABLE public.users (
  user_id SERIAL PRIMARY KEY,
  full_name VARCHAR(255) NOT NULL,
  email VARCHAR(255) NOT NULL UNIQUE,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

ALTER TABLE public.users REPLICA IDENTITY FULL;

INSERT INTO public.users (full_name, email) VALUES
  ('Alice Johnson', 'alice@example.com'), ('Bob Smith', 'bob@example.com'), ('Çağla Öztürk', 'cagla@example.com'),
  (E'O''Brien "Q" \\ back', 'obrien@example.com'), ('李雷 🚀', 'li@example.com');
