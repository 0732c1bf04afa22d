-- Which save of an attempt was taken last, by its worker's count: one that comes late or again is known by it.

ALTER TABLE instances ADD COLUMN last_save BIGINT NOT NULL DEFAULT 0;
