-- Whether a value is encrypted (server/sealing.py). What was there before is not.

ALTER TABLE variables ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
