-- Creates the roles and databases of livehouse; none of the roles is a superuser. Run it as a superuser; it is idempotent:
--   LIVEHOUSE_PASSWORD=… LIVEHOUSE_READER_PASSWORD=… DAGSTER_PASSWORD=… psql -h HOST -U postgres -f roles.sql
-- (psql 15 or newer). The official image runs it when it creates the cluster; see ../compose.yaml.
\set ON_ERROR_STOP on
\getenv livehouse_password LIVEHOUSE_PASSWORD
\getenv reader_password LIVEHOUSE_READER_PASSWORD
\getenv dagster_password DAGSTER_PASSWORD

-- livehouse owns the lakehouse's catalog and the request budget. livehouse_reader may SELECT from them.
-- dagster owns Dagster's history, and has no access to the other database.
SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['livehouse', 'livehouse_reader', 'dagster']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE livehouse NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'livehouse_password';
ALTER ROLE livehouse_reader NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'reader_password';
ALTER ROLE livehouse_reader SET default_transaction_read_only = on;
ALTER ROLE dagster NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'dagster_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, name)
FROM unnest(ARRAY['livehouse', 'dagster']) AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE ALL ON DATABASE livehouse, dagster, postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE livehouse TO livehouse_reader;

\connect dagster
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO dagster;

\connect livehouse
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO livehouse;
GRANT USAGE ON SCHEMA public TO livehouse_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO livehouse_reader;
-- DuckLake creates more tables later, such as those for rows that it keeps in the catalog.
ALTER DEFAULT PRIVILEGES FOR ROLE livehouse IN SCHEMA public GRANT SELECT ON TABLES TO livehouse_reader;
