import { EngineError } from '@agentos/protocol'
import { type CallContext, GUEST_REALM } from './context.ts'
import type { CallerIdentity } from './module.ts'

interface Power {
  /** What it lets guests do, as SECURITY.md and config.yaml say it. */
  does: string
  /** Ids that need it, or their beginnings (`state::*`). */
  functions: readonly string[]
  /** Types of triggers that need it, too. */
  triggers?: readonly string[]
  /** Needed as well where an installed worker makes the call for a guest; but for what an agent needs to answer. */
  passedOn?: true
}

/** What guests may do, each to be ended under `agentos: guests: allow:` in config.yaml. The table in SECURITY.md is this one. */
export const GUEST_POWERS = {
  chat: {
    does: 'chat with agents',
    functions: ['agent::chat', 'agent::cancel', 'stream::chat', 'stream::sse'],
    passedOn: true,
  },
  models: { does: 'call a model without an agent', functions: ['llm::complete', 'llm::stream'], passedOn: true },
  agents: { does: 'create agents, with the default grants', functions: ['agent::create'] },
  memory: { does: 'keep and read memories and sessions', functions: ['memory::*'] },
  register: { does: 'register functions, triggers and trigger types', functions: [] },
  state: { does: 'use state that no worker owns', functions: ['state::*'], triggers: ['state'] },
  channels: { does: 'open channels', functions: ['engine::channels::create'] },
  queues: {
    does: 'publish, enqueue, and look after what is queued',
    functions: ['publish', 'iii::durable::publish', 'iii::queue::*', 'engine::queue::*'],
    triggers: ['subscribe', 'durable:subscriber'],
  },
} as const satisfies Record<string, Power>

export type GuestPower = keyof typeof GUEST_POWERS
/** Which powers guests have here. */
export type GuestRules = Readonly<Record<GuestPower, boolean>>

export const POWER_NAMES = Object.keys(GUEST_POWERS) as GuestPower[]
const POWERS = Object.entries(GUEST_POWERS) as [GuestPower, Power][]
/** Its worker asks models on behalf of those who chat. */
const ANSWERS = 'agent::chat'

/** Holds guests to what config.yaml lets them do. */
export class GuestLaw {
  private readonly rules: GuestRules
  private readonly workerOf: (functionId: string) => string | undefined

  /** `workerOf`: the installed worker that a function belongs to. */
  constructor(rules: Partial<GuestRules>, workerOf: (functionId: string) => string | undefined) {
    this.rules = { ...EVERYTHING, ...rules }
    this.workerOf = workerOf
  }

  /** Throws `forbidden`, which names the setting, where guests do not have this power. */
  assertMay(power: GuestPower): void {
    if (this.rules[power]) return
    throw new EngineError(
      'forbidden',
      `Guests may not ${GUEST_POWERS[power].does} here: send the owner token, or set guests.allow.${power} to true under agentos: in config.yaml`,
      { details: { setting: `agentos.guests.allow.${power}` } },
    )
  }

  /** May a guest register a trigger of this type? */
  assertMayBind(triggerType: string): void {
    this.assertMay('register')
    for (const [power, { triggers }] of POWERS) if (triggers?.includes(triggerType)) this.assertMay(power)
  }

  /** May this call be made, as far as it is a guest's? */
  assertMayCall(functionId: string, context: CallContext, caller: CallerIdentity): void {
    const { worker } = caller
    if (worker === undefined ? !isGuests(context) : context.principal.kind !== 'guest') return
    for (const [power, { functions, passedOn }] of POWERS) {
      if (!functions.some((pattern) => covers(pattern, functionId))) continue
      if (worker === undefined || (passedOn && worker !== this.workerOf(ANSWERS))) this.assertMay(power)
    }
  }
}

const EVERYTHING = Object.fromEntries(POWER_NAMES.map((power) => [power, true])) as Record<GuestPower, boolean>

/** Without an installed worker in between: what a guest, or an agent that it names, does in the guests' realm. */
export function isGuests({ realm, principal }: Pick<CallContext, 'realm' | 'principal'>): boolean {
  return realm === GUEST_REALM && principal.kind !== 'owner' && principal.kind !== 'system'
}

function covers(pattern: string, id: string): boolean {
  return pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : pattern === id
}
