-- Long texts, kept out of line and as they are: what an UPDATE that leaves them alone does not send.

ALTER TABLE products ADD COLUMN manual text;
ALTER TABLE products ALTER COLUMN manual SET STORAGE EXTERNAL;
UPDATE products SET manual =
    repeat('First edition. ' || name || ': keep it dry, keep it clean, and read this page twice. ', 80);
