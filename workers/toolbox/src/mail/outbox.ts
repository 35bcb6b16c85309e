import { hash } from 'node:crypto'
import { AgentError, canonicalJson, InvocationError, type StateClient } from '@agentos/sdk'
import type { Letter } from './message.ts'
import { type Delivery, Unconfirmed } from './smtp.ts'

const SCOPE = 'email-outbox'
/** Longer than a draft lives: a draft that is still there finds what became of it. */
const KEPT_MS = 90 * 24 * 3_600_000

/**
 * What is known of a send. `claimed`: nothing of the message has left. `content`: it may have. `failed`: the server has
 * surely not taken it, and the key may be tried again.
 */
interface Sending {
  phase: 'claimed' | 'content' | 'sent' | 'failed' | 'in_doubt'
  letterHash: string
  messageId: string
  at: number
  /** The call that it was claimed for, where that came with an idempotency key. */
  call?: string
  delivery?: Delivery
}

export interface SendRequest {
  state: StateClient
  realm: string
  /** Sent once under it. */
  key: string
  /** Names the call, where it can come again after a crash: then its answer is the first's. */
  call: string | undefined
  letter: Letter
}

interface Stored {
  sending: Sending
  version: number
}

/** `beforeContent` has to be awaited before the first byte of the message goes out. */
export type Deliver = (messageId: string, beforeContent: () => Promise<void>) => Promise<Delivery>

export interface Outcome extends Delivery {
  messageId: string
  repeated: boolean
}

/** Sends each key once, whatever is killed in between: what cannot be known is said, and nothing is sent again. */
export class Outbox {
  /** Sends of this process. There is one process, so that a claim of nobody here belongs to one that died. */
  private readonly running = new Map<string, Promise<Outcome>>()

  async send(request: SendRequest, deliver: Deliver): Promise<Outcome> {
    const place = `${request.realm}\n${request.key}`
    const before = this.running.get(place)
    if (before) {
      await before.catch(() => {})
      return this.send(request, deliver)
    }
    const work = this.run(request, deliver)
    this.running.set(place, work)
    try {
      return await work
    } finally {
      this.running.delete(place)
    }
  }

  private async run({ state, realm, key, call, letter }: SendRequest, deliver: Deliver): Promise<Outcome> {
    const letterHash = hash('sha256', canonicalJson(letter))
    const found = await read(state, key)
    if (found) {
      const { sending } = found
      if (sending.letterHash !== letterHash) {
        throw new AgentError('key_reused', 'This key stands for another message; use a new one', { details: { key } })
      }
      if (sending.phase === 'sent') {
        const repeated = call === undefined || call !== sending.call
        return { ...sending.delivery!, messageId: sending.messageId, repeated }
      }
      if (sending.phase === 'content') {
        await write(state, key, { ...sending, phase: 'in_doubt' }, found.version)
        throw inDoubt(sending.messageId)
      }
      if (sending.phase === 'in_doubt') throw inDoubt(sending.messageId)
    }
    const messageId = found?.sending.messageId ?? messageIdOf(realm, key)
    const named = call === undefined ? {} : { call }
    const sending: Sending = { phase: 'claimed', letterHash, messageId, at: Date.now(), ...named }
    let version = await write(state, key, sending, found?.version ?? 0)
    try {
      const delivery = await deliver(messageId, async () => {
        version = await write(state, key, { ...sending, phase: 'content' }, version)
      })
      await write(state, key, { ...sending, phase: 'sent', delivery }, version)
      return { ...delivery, messageId, repeated: false }
    } catch (error) {
      const unknown = error instanceof Unconfirmed
      // Where this fails too, the record still says how far it came.
      await write(state, key, { ...sending, phase: unknown ? 'in_doubt' : 'failed' }, version).catch(() => {})
      throw unknown ? inDoubt(messageId) : error
    }
  }
}

/** From the key: whoever has the key can find out at the recipient whether its message arrived. */
function messageIdOf(realm: string, key: string): string {
  return `<${hash('sha256', JSON.stringify([realm, key])).slice(0, 40)}@agentos.invalid>`
}

async function read(state: StateClient, key: string): Promise<Stored | undefined> {
  const entry = await state.getWithVersion<Sending>(SCOPE, key)
  return entry && { sending: entry.value, version: entry.version }
}

async function write(state: StateClient, key: string, sending: Sending, expectedVersion: number): Promise<number> {
  try {
    return (await state.set(SCOPE, key, sending, { expectedVersion, ttlMs: KEPT_MS })).version
  } catch (error) {
    if (error instanceof InvocationError && error.code === 'version_conflict') {
      throw new AgentError('conflict', 'This message is being sent by somebody else', { cause: error })
    }
    throw error
  }
}

function inDoubt(messageId: string): AgentError {
  const what = `It is not known whether the mail server took the message ${messageId}`
  return new AgentError('in_doubt', `${what}; look whether it arrived. To send it anyway, write a new draft.`, {
    details: { messageId },
  })
}
