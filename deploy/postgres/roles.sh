#!/bin/bash
# The roles and the database, made once in an empty volume. Each role's password is a secret.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set storefront `cat /run/secrets/storefront_password`
\set capture `cat /run/secrets/capture_password`

CREATE ROLE storefront LOGIN PASSWORD :'storefront';

-- No superuser: it may replicate, and only an owner of a table may publish it.
CREATE ROLE capture LOGIN REPLICATION PASSWORD :'capture' IN ROLE storefront;

CREATE DATABASE shop OWNER storefront;
REVOKE CONNECT, TEMPORARY ON DATABASE shop FROM PUBLIC;
GRANT CREATE ON DATABASE shop TO capture;
SQL
