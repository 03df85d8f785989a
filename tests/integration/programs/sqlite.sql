-- A speed test: what a database does all day, in one file of some 10 MiB and in memory.
.mode list
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8000;
PRAGMA threads = 2;
CREATE TABLE words (id INTEGER PRIMARY KEY, number INTEGER, word TEXT);
BEGIN;
INSERT INTO words WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    SELECT i, (i * 7919) % 100003, printf('word %d of %s', i, hex(i * i)) FROM n;
COMMIT;
CREATE INDEX by_number ON words (number);
CREATE INDEX by_word ON words (word COLLATE NOCASE, number);
ANALYZE;
SELECT count(*), sum(number), min(word), max(word) FROM words;
SELECT count(*) FROM words a JOIN words b ON a.number = b.id WHERE a.id % 3 = 0;
SELECT number % 97 AS k, count(*), group_concat(substr(word, 6, 3)) FROM words WHERE id < 20000
    GROUP BY k ORDER BY 2 DESC, 1 LIMIT 5;
SELECT word, rank() OVER (PARTITION BY number % 50 ORDER BY word DESC) AS r FROM words
    WHERE id < 30000 ORDER BY r DESC, word LIMIT 5;
UPDATE words SET word = word || ' ' || number WHERE id % 5 = 0;
UPDATE words SET number = number + 1 WHERE number BETWEEN 1000 AND 60000;
DELETE FROM words WHERE id % 7 = 0;
CREATE TABLE blobs (id INTEGER PRIMARY KEY, data BLOB);
INSERT INTO blobs SELECT id, zeroblob(id * 11 % 50000) FROM words WHERE id < 400;
UPDATE blobs SET data = CAST(data || 'end' AS BLOB);
SELECT sum(length(data)) FROM blobs;
CREATE VIRTUAL TABLE text USING fts5 (body);
INSERT INTO text SELECT word FROM words WHERE id < 20000;
SELECT count(*) FROM text WHERE text MATCH 'word AND 1*';
SELECT json_group_array(json_object('n', number, 'w', word)) FROM (SELECT * FROM words LIMIT 20);
SELECT sum(json_extract(value, '$.n')) FROM json_each(
    (SELECT json_group_array(json_object('n', number)) FROM words));
VACUUM;
PRAGMA integrity_check;
.backup copy
ATTACH 'copy' AS copy;
SELECT count(*) FROM (SELECT * FROM words EXCEPT SELECT * FROM copy.words);
