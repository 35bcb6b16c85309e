import type { Connection, Grant } from './connection.ts'

/**
 * Where the registration of a function, a trigger or a trigger type is kept: under its realm and its id, so that two
 * realms may have the same id. No realm has a space in it, and an id may: no id reads as a place of another realm.
 */
export function placeIn(realm: string, id: string): string {
  return `${realm} ${id}`
}

/** What the engine and installed workers have is the installation's, in no realm. */
export function placeOfAll(id: string): string {
  return placeIn('', id)
}

export function placeFor({ worker, realm }: Pick<Grant, 'worker' | 'realm'>, id: string): string {
  return worker === undefined ? placeIn(realm, id) : placeOfAll(id)
}

/** Is what this connection registered reached from this realm? */
export function isReachedFrom(realm: string, { grant }: Connection): boolean {
  return grant.worker !== undefined || grant.realm === realm
}
