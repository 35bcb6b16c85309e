import { setTimeout as delay } from 'node:timers/promises'
import type { Exhausted } from '@agentos/contracts/ledger'
import * as ledger from '@agentos/contracts/ledger'
import type { CompletionInput, Usage } from '@agentos/contracts/llm-router'
import { AgentError, type Caller, InvocationError, newId } from '@agentos/sdk'
import { Afterwards } from './afterwards.ts'
import type { Answer } from './answer.ts'
import type { ModelChoice, ModelFacts } from './catalogue.ts'
import { estimateInput } from './estimate.ts'
import { THINKING_BUDGET } from './formats/anthropic.ts'
import { type Cover, Meter } from './meter.ts'
import { costOf, ratesFor } from './price.ts'
import { TokenRatios } from './token-ratios.ts'

/** Output of a request that names no limit, while a budget applies. */
const DEFAULT_OUTPUT = 8_192
/** Output that a stream holds at first, and each time it needs more. */
const CHUNK = 1_024
/** For how long the absence of a ledger is believed. */
const ABSENT_MS = 1_000
const SETTLE_ATTEMPTS = 10

/** Of whoever has no credential. */
export const GUEST_REALM = 'realm-guest'

/** For whom a model is asked. */
export interface Spender {
  realm: string
  agent: string | undefined
  session: string | undefined
  run: string | undefined
  /** Names the model call, the same when it is made again after a crash. */
  call: string | undefined
}

export interface HoldRequest extends Spender {
  choice: ModelChoice
  facts: ModelFacts
  input: CompletionInput
  streaming: boolean
  signal: AbortSignal
  remainingMs: () => number | undefined
  /** How long a request may take at most: no longer is money held for one. */
  totalMs: number
}

/** Stands before every request to a model that costs money: no route goes around it. */
export class Budgets {
  private readonly self: Caller
  private readonly now: () => number
  /** Until when it is known that no budget applies in a realm. */
  private readonly free = new Map<string, number>()
  private readonly bookings = new Afterwards()
  private readonly ratios = new TokenRatios()
  /** By realm: what has to be told to the ledger before it is asked again, because too little was held. */
  private readonly short = new Map<string, Afterwards>()

  constructor(self: Caller, now: () => number = () => performance.now()) {
    this.self = self
    this.now = now
  }

  /**
   * Asks with the money for it held; with nothing held where no budget applies. The one place where money is held, and it
   * does not outlive it: the hold ends with the request, and where that cannot be told to the ledger, by its lease. The
   * ledger is told before the answer leaves, and the answer does not wait until that is booked: until then the money stays held.
   * Errors: `budget_exceeded`, `price_unknown`, `overloaded`, `worker_unavailable`, and those of `ask`.
   */
  async spend(request: HoldRequest, ask: (hold: Hold | undefined) => Promise<Answer>): Promise<Answer> {
    const hold = await this.hold(request)
    let answer: Answer | undefined
    try {
      answer = await ask(hold)
      return hold ? hold.judge(answer) : answer
    } finally {
      if (hold) this.end(request, hold, answer)
      // What is learnt before there is a budget serves the first call under one.
      if (answer && !answer.usage.estimated) {
        this.ratios.learn(request.choice, request.input, answer.usage, hold?.meter.bytes)
      }
    }
  }

  private end({ realm }: HoldRequest, hold: Hold, answer: Answer | undefined): void {
    const booking = answer ? hold.done(answer.usage) : hold.failed()
    this.bookings.add(booking)
    if (answer && hold.isShortOf(answer.usage)) this.fallsShort(realm, booking)
  }

  /** The next reservations of the realm wait until the ledger knows. */
  private fallsShort(realm: string, told: Promise<void>): void {
    const open = this.short.get(realm) ?? new Afterwards()
    this.short.set(realm, open)
    open.add(told)
    void open.settled().then(() => open.isEmpty && this.short.get(realm) === open && this.short.delete(realm))
  }

  /** Resolves when what was spent is booked, or left to the lease. */
  booked(): Promise<void> {
    return this.bookings.settled()
  }

  private async hold(request: HoldRequest): Promise<Hold | undefined> {
    if (!(await this.applies(request.realm, request.signal))) return undefined
    const { choice, facts, input, realm, signal } = request
    await this.short.get(realm)?.settled()
    signal.throwIfAborted()
    const { input: inputTokens, bytesPerToken } = this.ratios.bounds(choice, input)
    const rates = ratesFor(facts.price, inputTokens, new Date())
    const wanted = outputWanted(input, facts)
    // What a reasoning model thinks is not seen while it streams: all that it may write is held from the start.
    const first = request.streaming && !facts.reasoning ? Math.min(CHUNK, wanted) : wanted
    const price = (output: number, tokens = inputTokens) =>
      Math.ceil(tokens * (rates?.input ?? 0) + output * (rates?.output ?? 0))
    const reserve = {
      key: newId('ask'),
      realmId: request.realm,
      ...(request.agent === undefined ? {} : { agentId: request.agent }),
      ...(request.session === undefined ? {} : { sessionId: request.session }),
      ...(request.run === undefined ? {} : { runId: request.run }),
      ...(request.call === undefined ? {} : { call: request.call }),
      ...choice,
      minimumMicroUsd: price(1),
      holdMicroUsd: price(first),
      wantedMicroUsd: price(wanted),
    }
    const left = request.remainingMs()
    const options = { signal, ...(left === undefined ? {} : { deadlineMs: left }) }
    const held = await persist(() => this.self.call(ledger.reserve, reserve, options), 3, signal).catch((error) => {
      // What was held and not answered would count as charged.
      this.self.call(ledger.release, { key: reserve.key }).catch(() => {})
      throw error
    })
    const { reservationId, heldMicroUsd, affordableMicroUsd, limited, leaseMs, exhausted } = held
    if (reservationId === null) return undefined
    if (!rates) {
      await this.self.call(ledger.release, { reservationId }).catch(() => {})
      // Nothing bounds what it may cost, so nothing has to be known of it; it is not counted either.
      if (!limited) return undefined
      throw unpriced(choice, realm)
    }
    const tokensFor = (microUsd: number, tokens = inputTokens) =>
      rates.output === 0 ? wanted : Math.max(1, Math.floor((microUsd - tokens * rates.input) / rates.output))
    const limit = Math.min(wanted, tokensFor(affordableMicroUsd))
    return new Hold(this.self, {
      id: reservationId,
      facts,
      inputTokens,
      likelyInput: estimateInput(input),
      bytesPerToken,
      fellShort: (counted, told) => {
        this.ratios.learn(choice, input, { input: counted })
        this.fallsShort(realm, told)
      },
      limit,
      exhausted: limit < wanted ? (exhausted ?? undefined) : undefined,
      held: heldMicroUsd,
      leaseMs,
      totalMs: request.totalMs,
      tokensFor,
      price,
      atFullPrice: ({ input, output }) => Math.ceil(input * rates.input + output * rates.output),
    })
  }

  /** One question a second and realm at most; a ledger that is installed and down refuses, one that is not is no budget. */
  private async applies(realm: string, signal: AbortSignal): Promise<boolean> {
    const asked = this.now()
    if ((this.free.get(realm) ?? 0) > asked) return false
    try {
      const { any, validMs } = await this.self.call(ledger.watched, { realmId: realm }, { signal })
      if (any) this.free.delete(realm)
      else this.remember(realm, asked + validMs)
      return any
    } catch (error) {
      if (!isNotInstalled(error)) throw error
      this.remember(realm, asked + ABSENT_MS)
      return false
    }
  }

  private remember(realm: string, until: number): void {
    if (this.free.size > 1_000) this.free.clear()
    this.free.set(realm, until)
  }
}

interface HoldParts {
  id: string
  facts: ModelFacts
  /** Tokens of the input: at most, and most likely. */
  inputTokens: number
  likelyInput: number
  bytesPerToken: number
  /** The provider counts more input than is held; resolves when the ledger holds what it can for it. */
  fellShort: (counted: number, told: Promise<void>) => void
  limit: number
  /** The budget that keeps `limit` below what the answer may have. */
  exhausted: Exhausted | undefined
  held: number
  leaseMs: number
  totalMs: number
  /** Output that this much money pays, after so many tokens of input. */
  tokensFor: (microUsd: number, inputTokens: number) => number
  price: (outputTokens: number, inputTokens: number) => number
  atFullPrice: (usage: Usage) => number
}

/** Money that is held for one request to a provider. Ends by `done` or `failed`, once. */
export class Hold implements Cover {
  readonly meter: Meter
  private readonly self: Caller
  private readonly parts: HoldParts
  private held: number
  private inputTokens: number
  /** What is booked of the input where the provider does not count the whole in the end. */
  private likelyInput: number
  /** The budget that had no more to give. */
  private exhausted: Exhausted | undefined
  private readonly renewal: NodeJS.Timeout

  constructor(self: Caller, parts: HoldParts) {
    this.self = self
    this.parts = parts
    this.held = parts.held
    this.inputTokens = parts.inputTokens
    this.likelyInput = parts.likelyInput
    this.exhausted = parts.exhausted
    this.meter = new Meter(this, parts.bytesPerToken)
    // A request that is longer under way than it may be is lost: its lease runs out.
    const renewals = Math.ceil((3 * parts.totalMs) / parts.leaseMs)
    let renewed = 0
    this.renewal = setInterval(() => {
      renewed += 1
      if (renewed > renewals) return clearInterval(this.renewal)
      self.call(ledger.extend, { reservationId: parts.id }).catch(() => {})
    }, parts.leaseMs / 3)
    this.renewal.unref()
  }

  /** What the provider is told as the most that it may write. */
  get limit(): number {
    return this.parts.limit
  }

  get tokens(): number {
    return Math.min(this.limit, this.parts.tokensFor(this.held, this.inputTokens))
  }

  async extend(): Promise<boolean> {
    const before = this.tokens
    await this.hold(Math.min(this.limit, before + CHUNK))
    return this.tokens > before
  }

  /** The provider's count of the input, which some tell at the beginning of a stream: what is missing is held at once. */
  countedInput(tokens: number): void {
    this.likelyInput = tokens
    if (tokens <= this.inputTokens) return
    const output = this.tokens
    this.inputTokens = tokens
    this.parts.fellShort(tokens, this.hold(output))
  }

  /** Is this more than was held for? */
  isShortOf(usage: Usage): boolean {
    return usage.input > this.parts.inputTokens || this.parts.atFullPrice(usage) > this.held
  }

  private async hold(outputTokens: number): Promise<void> {
    const { id, price } = this.parts
    const holdMicroUsd = price(outputTokens, this.inputTokens)
    const extended = await this.self.call(ledger.extend, { reservationId: id, holdMicroUsd }).catch(() => undefined)
    if (!extended) return
    this.held = extended.heldMicroUsd
    this.exhausted = this.parts.exhausted ?? extended.exhausted ?? undefined
  }

  /** Tells an answer that ended with the money from one that is as long as it may be. */
  judge(answer: Answer): Answer {
    const budget = answer.cut ? this.exhausted : this.parts.exhausted
    if (!budget || answer.stopReason !== 'length') return answer
    return { ...answer, stopReason: 'budget_exceeded', budget }
  }

  /** The counts of an answer whose end was cut off here. */
  get counted(): Usage {
    const { likelyInput: input } = this
    const output = Math.min(this.meter.tokens, this.limit)
    return { input, output, total: input + output }
  }

  /** Books what the provider counted; where it does not say, what was held; kinds without a price at the full one. */
  async done(usage: Usage): Promise<void> {
    if (usage.estimated) return this.settle({ microUsd: this.held, usage, maybe: true })
    const known = costOf(usage, this.parts.facts.price, new Date()).microUsd
    await this.settle({ microUsd: known ?? this.parts.atFullPrice(usage), usage, maybe: false })
  }

  /** Gives all back where the provider cannot have charged, else books what it may have charged. */
  async failed(): Promise<void> {
    const { meter } = this
    if (!meter.asked || (!meter.answered && meter.refused)) return this.release()
    const { price } = this.parts
    const whole = () => price(this.limit, this.inputTokens)
    const known = meter.answered ? price(Math.max(1, meter.tokens), this.likelyInput) : whole()
    const microUsd = Math.min(this.held, known)
    await this.settle({ microUsd, usage: this.counted, maybe: true })
  }

  /** Nothing was sent, or it was refused. */
  private release(): Promise<void> {
    return this.end(() => this.self.call(ledger.release, { reservationId: this.parts.id }))
  }

  private settle({ microUsd, usage, maybe }: { microUsd: number; usage: Usage; maybe: boolean }): Promise<void> {
    const settlement = {
      reservationId: this.parts.id,
      microUsd,
      inputTokens: usage.input,
      outputTokens: usage.output,
      maybeCharged: maybe,
    }
    return this.end(() => this.self.call(ledger.settle, settlement))
  }

  /** An answer is not lost because its cost cannot be booked now: that is tried on, and else the lease books it. */
  private async end(call: () => Promise<unknown>): Promise<void> {
    clearInterval(this.renewal)
    const warn = (error: unknown) => {
      this.self.log.warn({ err: error, reservation: this.parts.id }, 'the cost of a model call was not booked')
    }
    await call().catch((error: unknown) => {
      if (isPassing(error)) void persist(call, SETTLE_ATTEMPTS).catch(warn)
      else warn(error)
    })
  }
}

function outputWanted(input: CompletionInput, facts: ModelFacts): number {
  const thinking = facts.thinking === 'budget' && input.reasoning ? THINKING_BUDGET[input.reasoning] : 0
  return Math.min((input.maxTokens ?? DEFAULT_OUTPUT) + thinking, facts.maxOutput ?? Number.POSITIVE_INFINITY)
}

/** The ledger's functions bear being called again with the same key or reservation. */
async function persist<T>(call: () => Promise<T>, attempts: number, signal?: AbortSignal): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await call()
    } catch (error) {
      if (failures >= attempts || signal?.aborted || !isPassing(error)) throw error
      await delay(Math.min(5_000, 100 * 2 ** failures), undefined, { ref: false })
    }
  }
}

function isNotInstalled(error: unknown): boolean {
  if (!(error instanceof InvocationError)) return false
  const { installed } = (error.details ?? {}) as { installed?: unknown }
  return error.code === 'function_not_found' || installed === false
}

function isPassing(error: unknown): boolean {
  return error instanceof InvocationError && error.retryable && error.code !== 'overloaded'
}

function unpriced({ provider, model }: ModelChoice, realm: string): AgentError {
  const example = `{ input: <USD per million tokens>, output: <USD per million tokens>, source: <where it stands> }`
  const message =
    `A budget applies, and no price of ${provider}/${model} is known: add it to config.yaml, in the config of ` +
    `llm-router, as prices: { "${provider}/${model}": ${example} }, or ask a model whose price is known`
  const forGuests =
    '. Guests share a budget: a call with the owner token is not under it, and the owner lifts it with ' +
    'ledger::set_budget in the realm guest, with unlimited: true'
  return new AgentError('price_unknown', realm === GUEST_REALM ? message + forGuests : message, {
    details: { provider, model },
  })
}
