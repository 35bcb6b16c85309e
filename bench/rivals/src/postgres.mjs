import pg from 'pg'

/** `postgres.mjs <address of a server> version | create <database> | drop <database>`; prints the server's version. */
const [, , url, verb, database] = process.argv
const client = new pg.Client({ connectionString: `${url}/postgres`, connectionTimeoutMillis: 2_000 })
await client.connect()
const name = database && pg.escapeIdentifier(database)
if (verb === 'create') await client.query(`CREATE DATABASE ${name}`)
if (verb === 'drop') await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
const { rows } = await client.query('SHOW server_version')
console.log(rows[0].server_version.split(' ')[0])
await client.end()
