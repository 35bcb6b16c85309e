import { randomInt } from 'node:crypto'
import { AgentError, type StateClient } from '@agentos/sdk'

/** What a person may do: an owner decides approvals and chooses agents, a user chats. */
export type Role = 'owner' | 'user'

/** Somebody who may reach the agent. `since` is epoch milliseconds. */
export interface Member {
  id: string
  name: string
  role: Role
  since: number
}

/** Somebody who wrote and waits for the owner. Times are epoch milliseconds. */
export interface Pairing {
  id: string
  name: string
  code: string
  /** Where the code was sent, and the welcome will be. */
  conversation: string
  /** The message that they were given it for. */
  eventId: string
  expiresAt: number
}

/** Letters and digits that cannot be mistaken for one another. */
const ALPHABET = 'ABCDEFGHJKMNPQRSTVWXYZ23456789'
const CODE_LENGTH = 8
const PAIRING_MS = 3_600_000
/** Strangers who may wait at once; the others hear nothing and are not stored. */
const MAX_PAIRINGS = 100

export interface AccessParts {
  state: Pick<StateClient, 'get' | 'set' | 'delete' | 'entries'>
  scope: string
  /** Ids of the service that config.yaml lets in. */
  owners: readonly string[]
  users: readonly string[]
  now?: () => number
}

/** Who may write to the agent: those of config.yaml, and those whom the owner paired. Nobody else. */
export class Access {
  private readonly parts: AccessParts
  private readonly now: () => number

  constructor(parts: AccessParts) {
    this.parts = parts
    this.now = parts.now ?? Date.now
  }

  async roleOf(id: string): Promise<Role | undefined> {
    const { owners, users, state, scope } = this.parts
    if (owners.includes(id)) return 'owner'
    const member = await state.get<Member>(scope, memberKey(id))
    return member?.role ?? (users.includes(id) ? 'user' : undefined)
  }

  /** Their code; `told` where an earlier message brought it. `undefined` where too many others wait. */
  async pair(
    person: { id: string; name: string },
    conversation: string,
    eventId: string,
  ): Promise<{ code: string; told: boolean } | undefined> {
    const waiting = await this.pairings()
    const known = waiting.find(({ id }) => id === person.id)
    if (known) return { code: known.code, told: known.eventId !== eventId }
    if (waiting.length >= MAX_PAIRINGS) return undefined
    const { state, scope } = this.parts
    const { id, name } = person
    const pairing: Pairing = { id, name, code: newCode(), conversation, eventId, expiresAt: this.now() + PAIRING_MS }
    await state.set(scope, pairingKey(id), pairing, { ttlMs: PAIRING_MS })
    return { code: pairing.code, told: false }
  }

  async pairings(): Promise<Pairing[]> {
    return (await this.all<Pairing>('pairing/')).filter(({ expiresAt }) => expiresAt > this.now())
  }

  /** Lets in who has this code. */
  async approve(code: string, role: Role): Promise<{ member: Member; conversation: string }> {
    const wanted = bare(code)
    const pairing = (await this.pairings()).find((waiting) => bare(waiting.code) === wanted)
    if (!pairing) {
      throw new AgentError('not_found', 'Nobody waits with this code; codes are good for an hour and for one use')
    }
    const { state, scope } = this.parts
    const member: Member = { id: pairing.id, name: pairing.name, role, since: this.now() }
    await state.set(scope, memberKey(member.id), member)
    await state.delete(scope, pairingKey(member.id))
    return { member, conversation: pairing.conversation }
  }

  /** Those of config.yaml too; they have no name and `since` 0. */
  async members(): Promise<Member[]> {
    const { owners, users } = this.parts
    const stored = await this.all<Member>('member/')
    const fromFile = (ids: readonly string[], role: Role): Member[] =>
      ids.map((id) => ({ id, name: '', role, since: 0 }))
    const all = [...fromFile(owners, 'owner'), ...stored, ...fromFile(users, 'user')]
    return all.filter(({ id }, index) => all.findIndex((other) => other.id === id) === index)
  }

  async revoke(id: string): Promise<boolean> {
    const { owners, users, state, scope } = this.parts
    if (owners.includes(id) || users.includes(id)) {
      throw new AgentError('conflict', `${id} is let in by config.yaml: take the id out there and restart the worker`)
    }
    return (await state.delete(scope, memberKey(id))) !== undefined
  }

  private async all<T>(prefix: string): Promise<T[]> {
    const { state, scope } = this.parts
    const found: T[] = []
    for (let after: string | undefined; ; ) {
      const page = await state.entries<T>(scope, { prefix, ...(after === undefined ? {} : { after }) })
      found.push(...page.entries.map(({ value }) => value))
      if (page.next === undefined) return found
      after = page.next
    }
  }
}

function newCode(): string {
  const letters = Array.from({ length: CODE_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]!)
  return `${letters.slice(0, 4).join('')}-${letters.slice(4).join('')}`
}

function bare(code: string): string {
  return code.toUpperCase().replaceAll(/[^A-Z0-9]/g, '')
}

function memberKey(id: string): string {
  return `member/${id}`
}

function pairingKey(id: string): string {
  return `pairing/${id}`
}
