import { ANALYSER } from '../terms.ts'

/** Raised when a table changes. */
const SCHEMA = 2
/** Of tables and terms: a file of another number is thrown away and made anew from the truth. */
export const VERSION = 1_000 * SCHEMA + ANALYSER

/**
 * `memory_terms` holds the terms of `terms.ts`, joined by spaces, and one term that stands for the agent; bm25 counts over
 * the whole table, which is one realm. `vectors` waits for embeddings: each is tagged with its model and dimension, and
 * only vectors of one model are ever compared.
 */
export const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE memories (
    row INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    role TEXT NOT NULL,
    type TEXT NOT NULL,
    session TEXT,
    timestamp INTEGER NOT NULL,
    expires INTEGER,
    importance REAL NOT NULL,
    current INTEGER NOT NULL,
    length INTEGER NOT NULL,
    terms TEXT NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (agent, id)
  );
  CREATE INDEX memories_by_time ON memories (agent, timestamp DESC, id DESC);
  CREATE VIRTUAL TABLE memory_terms USING fts5(
    agent, terms, content='', contentless_delete=1,
    tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
  );
  CREATE VIRTUAL TABLE term_counts USING fts5vocab(memory_terms, 'row');
  CREATE TABLE vectors (
    row INTEGER NOT NULL REFERENCES memories (row) ON DELETE CASCADE,
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (row, model)
  ) WITHOUT ROWID;
  CREATE TABLE entities (
    agent TEXT NOT NULL,
    id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (agent, id)
  ) WITHOUT ROWID;
  CREATE TABLE edges (
    agent TEXT NOT NULL,
    key TEXT NOT NULL,
    origin TEXT NOT NULL,
    type TEXT NOT NULL,
    target TEXT NOT NULL,
    memory TEXT,
    record TEXT NOT NULL,
    PRIMARY KEY (agent, key)
  ) WITHOUT ROWID;
  CREATE INDEX edges_out ON edges (agent, origin);
  CREATE INDEX edges_in ON edges (agent, target);
  CREATE INDEX edges_by_memory ON edges (agent, memory) WHERE memory IS NOT NULL;
`
