CREATE TABLE wide (id int PRIMARY KEY, filler text);
ALTER TABLE wide ALTER filler SET STORAGE PLAIN;
CREATE PUBLICATION fixture FOR TABLE wide (id);
-- captured from here
BEGIN; INSERT INTO wide SELECT i, repeat('x', 1900) FROM generate_series(1, 50) i; SAVEPOINT a; INSERT INTO wide SELECT i, repeat('x', 1900) FROM generate_series(101, 150) i; ROLLBACK TO a; DELETE FROM wide WHERE id = 7; INSERT INTO wide SELECT i, repeat('x', 1900) FROM generate_series(201, 250) i; SELECT pg_logical_emit_message(true, 'within', 'a streamed transaction'); COMMIT;
BEGIN; INSERT INTO wide SELECT i, repeat('x', 1900) FROM generate_series(301, 350) i; ROLLBACK;
INSERT INTO wide VALUES (1000, 'short');
