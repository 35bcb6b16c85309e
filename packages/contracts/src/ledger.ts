import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const RealmId = () => z.string().min(1).max(128)
const Id = () => z.string().min(1).max(256)
const Label = () => z.string().max(200)
/** Up to ten million dollars, so that sums stay exact. */
const MicroUsd = () => z.number().int().nonnegative().max(10_000_000_000_000)
const Cents = () => z.number().int().nonnegative().max(1_000_000_000)
const Tokens = () => z.number().int().nonnegative()

/** The window of a budget in its time zone; `total` never begins anew. */
export const Period = () => z.enum(['hour', 'day', 'month', 'total'])
export type Period = z.output<ReturnType<typeof Period>>

export const AlertSeverity = () => z.enum(['info', 'warning', 'critical'])

/** Micro-dollars are the truth; `…Cents` are rounded views of them. */
export const Budget = () =>
  z.object({
    id: z.string(),
    realmId: z.string(),
    /** Null where the budget is not one agent's. */
    agentId: z.string().nullable(),
    sessionId: z.string().nullable(),
    runId: z.string().nullable(),
    period: Period(),
    /** IANA name of the zone in which periods begin. */
    timeZone: z.string(),
    /** The window that counts now: `2026-11`, `2026-11-22`, `2026-11-22T17` or `total`. */
    periodKey: z.string(),
    /** The limit per period, whatever the period is. */
    monthlyCents: z.number().int(),
    spentCents: z.number().int(),
    limitMicroUsd: z.number().int(),
    /** Booked in this period, what may have been charged included. */
    spentMicroUsd: z.number().int(),
    /** Held for calls that are under way. */
    reservedMicroUsd: z.number().int(),
    /** Counts and alerts, refuses nothing. */
    unlimited: z.boolean(),
    /**
     * Nobody set it: all guests together have it until the owner sets one of their realm, and again when that is removed.
     * It cannot be removed itself.
     */
    isDefault: z.boolean(),
    /** More than the limit was spent: costs that were reported afterwards, or a limit that was lowered. */
    overdraft: z.boolean(),
    currency: z.literal('USD'),
    /** From 0 to 1; an alert goes out once a period when it is reached. */
    softThreshold: z.number(),
    /** False: calls go on over the limit. */
    hardLimit: z.boolean(),
    billingCode: z.string().nullable(),
    /** Counts the changes of this budget, from 1; 0 for a default one. */
    version: z.number().int(),
    /** RFC 3339, when the budget was first set; for a default one, when the ledger read its settings. */
    periodStart: z.string(),
    /** RFC 3339. */
    updatedAt: z.string(),
  })
export type Budget = z.output<ReturnType<typeof Budget>>

/**
 * Whose money it is. Without agent, session and run it is the realm's. Every account is one of the realm of the call. Whoever
 * is in the realm reads its budgets; only the owner, and the workers that spend, set, hold and book.
 */
const target = () => ({
  /** @default the realm of the call; another one is `realm_mismatch` */
  realmId: RealmId().nullish(),
  agentId: Id().nullish(),
  sessionId: Id().nullish(),
  runId: Id().nullish(),
})

/**
 * One budget for each target and period; a target may have one of each period. Options that are left out keep their
 * value. Zero is a budget of nothing; `unlimited` says that there is no limit. In force for every model call that
 * begins after the answer.
 */
export const setBudget = defineFunction({
  id: 'ledger::set_budget',
  summary: 'Create or change the budget of a realm, an agent, a session or a run',
  input: () =>
    z
      .strictObject({
        ...target(),
        /** The limit per period in cents; or `limitMicroUsd`. */
        monthlyCents: Cents().nullish(),
        limitMicroUsd: MicroUsd().nullish(),
        unlimited: z.boolean().nullish(),
        /** @default 'month' */
        period: Period().nullish(),
        /** @default 'UTC' */
        timeZone: z.string().max(64).nullish(),
        /** @default 0.8 */
        softThreshold: z.number().min(0).max(1).nullish(),
        /** @default true */
        hardLimit: z.boolean().nullish(),
        billingCode: Label().nullish(),
      })
      .refine(
        ({ monthlyCents, limitMicroUsd, unlimited }) =>
          [monthlyCents, limitMicroUsd].filter((limit) => typeof limit === 'number').length === (unlimited ? 0 : 1),
        { error: 'give one of monthlyCents, limitMicroUsd and unlimited: true', path: ['monthlyCents'] },
      )
      .refine((input) => [input.agentId, input.sessionId, input.runId].filter(Boolean).length <= 1, {
        error: 'a budget is that of a realm, an agent, a session or a run: give at most one of these ids',
        path: ['agentId'],
      }),
  output: Budget,
  http: ['POST /v1/budgets', 'POST /v1/ledger/budget'],
  effects: 'write',
  access: 'owner',
})

/** What is spent stays in the entries; calls that are under way are settled as if it were there. */
export const deleteBudget = defineFunction({
  id: 'ledger::delete_budget',
  summary: 'Remove a budget',
  input: () => z.strictObject({ id: Id() }),
  output: () => z.object({ id: z.string(), deleted: z.literal(true) }),
  http: 'DELETE /v1/budgets/:id',
  effects: 'write',
  access: 'owner',
})

export const budgets = defineFunction({
  id: 'ledger::budgets',
  summary: 'The budgets of the realm with what is spent and reserved',
  input: () => z.strictObject({ ...target() }),
  output: () => z.object({ budgets: z.array(Budget()) }),
  http: 'GET /v1/budgets',
  effects: 'read',
})

/**
 * The figures are those of the tightest of the budgets that apply: the agent's, the realm's, the session's and the
 * run's. Without any: allowed, with zeros.
 */
export const check = defineFunction({
  id: 'ledger::check',
  summary: 'Whether an agent is within its budgets',
  input: () => z.strictObject({ ...target(), agentId: Id() }),
  output: () =>
    z.object({
      allowed: z.boolean(),
      spentCents: z.number().int(),
      limitCents: z.number().int(),
      remainingCents: z.number().int(),
      utilizationPct: z.number(),
      alert: z.enum(['warning', 'critical']).nullable(),
      spentMicroUsd: z.number().int(),
      limitMicroUsd: z.number().int(),
      remainingMicroUsd: z.number().int(),
      reservedMicroUsd: z.number().int(),
      /** All budgets that apply, the tightest first. */
      budgetIds: z.array(z.string()),
    }),
  http: 'GET /v1/ledger/check/:realmId/:agentId',
  effects: 'read',
})

/**
 * The money is gone when it is reported, so it is always booked; `overdraft` says that a hard limit is passed. Booked once
 * for an idempotency key, of the input or of the call, among the last 5,000; another input under it is `key_reused`.
 */
export const spend = defineFunction({
  id: 'ledger::spend',
  summary: 'Book a cost that did not pass through the model router',
  input: () =>
    z
      .strictObject({
        ...target(),
        agentId: Id(),
        costCents: Cents().nullish(),
        costMicroUsd: MicroUsd().nullish(),
        provider: Label(),
        model: Label(),
        inputTokens: Tokens(),
        outputTokens: Tokens(),
        missionId: Label().nullish(),
        billingCode: Label().nullish(),
        /** The same key of the same caller is booked once within the realm; another cost under it is `key_reused`. */
        idempotencyKey: z.string().min(1).max(256).nullish(),
      })
      .refine(({ costCents, costMicroUsd }) => (typeof costCents === 'number') !== (typeof costMicroUsd === 'number'), {
        error: 'give either costCents or costMicroUsd',
        path: ['costCents'],
      }),
  output: () =>
    z.object({
      id: z.string(),
      realmId: z.string(),
      agentId: z.string(),
      costCents: z.number().int(),
      costMicroUsd: z.number().int(),
      provider: z.string(),
      model: z.string(),
      inputTokens: z.number().int(),
      outputTokens: z.number().int(),
      missionId: z.string().nullable(),
      billingCode: z.string().nullable(),
      /** RFC 3339. */
      timestamp: z.string(),
      overdraft: z.boolean(),
    }),
  http: ['POST /v1/spend', 'POST /v1/ledger/spend'],
  effects: 'write',
  keyed: true,
  access: 'owner',
})

const Day = () => z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'a day looks like 2026-11-22')

/** From daily sums; days are UTC. What was spent where no budget applied is not in the ledger, but in `llm::usage`. */
export const summary = defineFunction({
  id: 'ledger::summary',
  summary: 'What a realm has spent, by agent, model, provider, billing code, mission or day',
  input: () =>
    z.strictObject({
      realmId: RealmId().nullish(),
      groupBy: z.enum(['agent', 'model', 'provider', 'billing_code', 'mission', 'day']).default('agent'),
      /** First and last day, both included. */
      from: Day().nullish(),
      to: Day().nullish(),
    }),
  output: () =>
    z.object({
      totalCents: z.number().int(),
      totalMicroUsd: z.number().int(),
      /** Part of the total: calls whose end nobody saw. */
      maybeChargedMicroUsd: z.number().int(),
      totalInputTokens: z.number().int(),
      totalOutputTokens: z.number().int(),
      eventCount: z.number().int(),
      /** Cents by group; what has no billing code, mission or agent is `none`. */
      breakdown: z.record(z.string(), z.number().int()),
      groups: z.array(
        z.object({
          key: z.string(),
          microUsd: z.number().int(),
          inputTokens: z.number().int(),
          outputTokens: z.number().int(),
          events: z.number().int(),
        }),
      ),
    }),
  http: ['GET /v1/spend', 'GET /v1/ledger/summary/:realmId'],
  effects: 'read',
})

export const Reservation = () =>
  z.object({
    id: z.string(),
    realmId: z.string(),
    agentId: z.string().nullable(),
    sessionId: z.string().nullable(),
    runId: z.string().nullable(),
    provider: z.string(),
    model: z.string(),
    /** Held, or booked where it may have been charged. */
    microUsd: z.number().int(),
    /** Epoch milliseconds. */
    at: z.number().int(),
  })

export const reservations = defineFunction({
  id: 'ledger::reservations',
  summary: 'Money that is held now, and calls that may have been charged',
  input: () => z.strictObject({ realmId: RealmId().nullish() }),
  output: () =>
    z.object({
      open: z.array(Reservation()),
      /** The last 200 of calls whose end nobody saw: booked with all that was held for them. */
      maybeCharged: z.array(Reservation()),
    }),
  http: 'GET /v1/budgets/reservations',
  effects: 'read',
})

export const verify = defineFunction({
  id: 'ledger::verify',
  summary: 'Add up all entries and compare the sums with the balances',
  input: () => z.strictObject({}),
  output: () =>
    z.object({
      valid: z.boolean(),
      entries: z.number().int(),
      differences: z.array(z.string()),
      /** The entry up to which a start need not read, how many came after it, and why no newer one could be written. */
      checkpoint: z.object({
        sequence: z.number().int(),
        behind: z.number().int(),
        problem: z.string().nullable(),
      }),
    }),
  http: 'POST /v1/budgets/verify',
  effects: 'read',
  access: 'owner',
})

/**
 * Whether a budget may apply to a call in the realm. `any: false` holds for `validMs` from when the question was
 * asked: a budget that is set meanwhile is in force, and answered, only after that.
 */
export const watched = defineFunction({
  id: 'ledger::watched',
  summary: 'Whether calls in a realm need a reservation',
  input: () => z.strictObject({ realmId: RealmId() }),
  output: () => z.object({ any: z.boolean(), validMs: z.number().int() }),
  effects: 'read',
  access: 'owner',
})

/** The budget that pays for no more of a call. */
export const Exhausted = () =>
  z.object({
    budgetId: z.string(),
    limitMicroUsd: z.number().int(),
    /** Not spent when it was asked; what this call holds is in it. */
    leftMicroUsd: z.number().int(),
    /** Whose budget it is and both amounts, as a sentence for people. */
    message: z.string(),
  })
export type Exhausted = z.output<ReturnType<typeof Exhausted>>

/**
 * Holds money in every budget that applies, or in none. Waits in order while other calls hold what this one lacks;
 * `budget_exceeded` only where what is left would not pay `minimumMicroUsd` even if all of them gave everything back;
 * `overloaded` where the wait took too long. The same key answers the same reservation.
 */
export const reserve = defineFunction({
  id: 'ledger::reserve',
  summary: 'Hold money for a model call',
  input: () =>
    z.strictObject({
      key: z.string().min(1).max(256),
      /**
       * Names the model call, the same when it is made again after a crash. What is still held for it under other keys is
       * then booked as maybe charged: whoever held it is gone.
       */
      call: z.string().min(1).max(256).nullish(),
      realmId: RealmId(),
      agentId: Id().nullish(),
      sessionId: Id().nullish(),
      runId: Id().nullish(),
      provider: Label(),
      model: Label(),
      /** Pays the input and one token of output. */
      minimumMicroUsd: MicroUsd(),
      /** What is to be held at first. */
      holdMicroUsd: MicroUsd(),
      /** What the call may cost in all. */
      wantedMicroUsd: MicroUsd(),
    }),
  output: () =>
    z.object({
      /** Null where no budget applies. */
      reservationId: z.string().nullable(),
      heldMicroUsd: z.number().int(),
      /** At least `heldMicroUsd`: what could be held for this call now, up to `wantedMicroUsd`. */
      affordableMicroUsd: z.number().int(),
      /** False where no budget that applies has a limit. */
      limited: z.boolean(),
      /** The budget that keeps this below `wantedMicroUsd`; null where none does. */
      exhausted: Exhausted().nullable(),
      /** To be renewed by `extend` within this time; else the call counts as charged. */
      leaseMs: z.number().int(),
    }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

/** Never waits: answers what is held then, which may be less than asked for. Renews the lease. */
export const extend = defineFunction({
  id: 'ledger::extend',
  summary: 'Hold more money for a call that is under way',
  input: () =>
    z.strictObject({
      reservationId: Id(),
      /** What is to be held in all; the lease alone is renewed where it is held already. */
      holdMicroUsd: MicroUsd().default(0),
    }),
  output: () =>
    z.object({
      heldMicroUsd: z.number().int(),
      /** The budget that keeps this below what was asked for; null where none does. */
      exhausted: Exhausted().nullable(),
    }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

/** Also after the call was booked as maybe charged: the true cost takes the place of what was booked. */
export const settle = defineFunction({
  id: 'ledger::settle',
  summary: 'Book what a model call cost and give back the rest',
  input: () =>
    z.strictObject({
      reservationId: Id(),
      microUsd: MicroUsd(),
      inputTokens: Tokens(),
      outputTokens: Tokens(),
      /** The call broke off, and what the provider charges is not known. */
      maybeCharged: z.boolean().default(false),
    }),
  output: () => z.object({ spentMicroUsd: z.number().int(), overdraft: z.boolean() }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const release = defineFunction({
  id: 'ledger::release',
  summary: 'Give back all that was held for a call that cost nothing',
  input: () =>
    z
      .strictObject({
        reservationId: Id().nullish(),
        /** That of `reserve`, whose answer did not come; where it holds nothing, nothing is done. */
        key: z.string().min(1).max(256).nullish(),
      })
      .refine(({ reservationId, key }) => Boolean(reservationId) !== Boolean(key), {
        error: 'give either reservationId or key',
        path: ['reservationId'],
      }),
  output: () => z.object({ released: z.literal(true) }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})
