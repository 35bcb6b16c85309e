import { setTimeout as delay } from 'node:timers/promises'
import { InvocationError } from '@agentos/sdk'
import type { Findings } from '../harness/findings.ts'
import type { Point, Trigger } from '../harness/kill-points.ts'
import { until } from '../harness/waits.ts'
import { MODEL_CALLS, type Office, type Reply, type RunView, TOOLS, type Tool } from './office.ts'

const LIMIT_MS = 60_000

export type Victim = 'agent-core' | 'llm-router' | 'engine'

/** Where one chat is cut off. `call` is what the world outside sees at this step, where it sees it. */
export interface Place {
  victim: Victim
  step: string
  name: string
  point: Point
  call?: string
  /** The two that look run side by side: it is in one of their branches. */
  looks: boolean
}

/** What an undisturbed chat looks like, the name of its task taken out. */
export interface Pattern {
  reply: string
  messages: string[]
  steps: string[]
  costMicroUsd: number
}

export function patternOf(task: string, run: RunView, messages: string[]): Pattern {
  const { content, stopReason, iterations, usage, cost, toolCalls = [] } = run.result ?? ({} as Partial<Reply>)
  const calls = toolCalls.map(({ durationMs: _time, ...call }) => call)
  const reply = { content, stopReason, iterations, usage, cost, calls }
  return {
    reply: JSON.stringify(reply).replaceAll(task, 'TASK'),
    messages,
    steps: run.journal.map(({ step, name }) => `${step} ${name}`).sort(),
    costMicroUsd: run.costMicroUsd,
  }
}

/** One chat that is cut off at one place, and what becomes of it. */
export class Cut {
  private readonly office: Office
  private readonly trigger: Trigger
  private readonly findings: Findings
  private readonly task: string
  private readonly place: Place
  private parked = 0

  constructor(parts: { office: Office; trigger: Trigger; findings: Findings }, task: string, place: Place) {
    this.office = parts.office
    this.trigger = parts.trigger
    this.findings = parts.findings
    this.task = task
    this.place = place
  }

  /** Whether it asked somebody about the call that must not be repeated. */
  get wasParked(): boolean {
    return this.parked > 0
  }

  async make(pattern: Pattern): Promise<void> {
    const { findings, office, place, task } = this
    const { victim, step, name, point } = place
    const child = victim === 'engine' ? office.system.engine : office.system.workers[victim]!
    const { pid } = child
    if (point === 'after send' && place.call !== undefined) {
      office.reached = (what) => {
        if (what.task === task && what.call === place.call) process.kill(pid, 'SIGKILL')
      }
    } else this.trigger.aim({ step, point, pid })
    const answering = this.ask()
    const died = await until(() => !child.running, LIMIT_MS, 2)
    office.reached = undefined
    this.trigger.disarm()
    if (!died) findings.wrong(`${this.where}: nothing was killed`)
    else await child.start()
    const run = await this.settle()
    const reply = await answering
    if (!run) return findings.hung(`${this.where}: the run of ${name}`)
    await this.judge(run, reply, pattern)
  }

  private get where(): string {
    const { victim, step, name, point } = this.place
    return `${victim} killed ${point} of step ${step} (${name})`
  }

  /** Asks again under its key for as long as the failure is a passing one. */
  private async ask(): Promise<Reply | undefined> {
    const end = performance.now() + LIMIT_MS
    // The place before may have killed the engine, whose clients are not back at once.
    await until(() => this.office.served('desk::save').catch(() => false), LIMIT_MS, 20)
    for (;;) {
      try {
        return await this.office.chat(this.task)
      } catch (error) {
        const { code, retryable } = error as Partial<InvocationError>
        if (!(error instanceof InvocationError) || !(retryable || code === 'engine_lost')) {
          this.findings.wrong(`${this.where}: the chat failed: ${String(error)}`)
          return undefined
        }
      }
      if (performance.now() > end) return undefined
      await delay(20)
    }
  }

  /** Until the run is over. Answers what it asks. */
  private async settle(): Promise<RunView | undefined> {
    let run: RunView | undefined
    const over = async (): Promise<boolean> => {
      const runId = run?.id ?? (await this.office.newest())
      if (runId === undefined) return false
      const now = await this.office.run(runId)
      if (now.result === undefined && now.status === 'done') return false
      if (!JSON.stringify(now).includes(this.task)) return false
      run = now
      if (run.status === 'parked') await this.decide(run)
      return ['done', 'failed', 'cancelled'].includes(run.status)
    }
    const ended = await until(over, LIMIT_MS, 20)
    return ended ? run : undefined
  }

  /** A person looks whether the letter was posted, and says so. */
  private async decide({ id, reason, question }: RunView): Promise<void> {
    const { findings, office, place, task } = this
    this.parked += 1
    findings.expect(reason === 'in_doubt', `${this.where}: parked because of ${reason}`)
    findings.expect(question?.function === 'desk::post', `${this.where}: in doubt is ${question?.function}`)
    findings.expect(question?.step === place.step, `${this.where}: in doubt is step ${question?.step}`)
    const input = JSON.stringify(question?.input)
    findings.expect(input === JSON.stringify({ task }), `${this.where}: the question shows the input ${input}`)
    const answer =
      office.count(task, 'post') === 0 ? { answer: 'repeat' } : { answer: 'done', result: { posted: true } }
    await office.owner.trigger({ function_id: 'engine::runs::resume', payload: { runId: id, ...answer } })
  }

  private async judge(run: RunView, reply: Reply | undefined, pattern: Pattern): Promise<void> {
    const { findings, office, task, where } = this
    if (run.status !== 'done') return findings.wrong(`${where}: the run is ${run.status}: ${run.error?.message}`)
    findings.acknowledge()
    const found = patternOf(task, run, await office.messages(task))
    findings.expect(found.reply === pattern.reply, `${where}: the result is ${found.reply}`)
    findings.expect(
      found.costMicroUsd === pattern.costMicroUsd,
      `${where}: it cost ${found.costMicroUsd}, not ${pattern.costMicroUsd}`,
    )
    findings.expect(found.steps.join() === pattern.steps.join(), `${where}: its steps are ${found.steps.join(', ')}`)
    if (reply) {
      const interim = reply.stopReason === 'waiting' && this.parked > 0
      findings.expect(
        interim || reply.content === run.result?.content,
        `${where}: the caller was told ${reply.content}`,
      )
    } else findings.hung(`${where}: the caller has no answer`)
    if (this.parked > 1) findings.wrong(`${where}: it was parked ${this.parked} times`)
    const { length } = pattern.messages
    if (found.messages.length > length) findings.doubled(`${where}: ${found.messages.length} messages, not ${length}`)
    else if (found.messages.join('\n') !== pattern.messages.join('\n')) {
      findings.lost(`${where}: the session is ${found.messages.join(' | ')}`)
    }
    for (const tool of TOOLS) this.judgeTool(tool)
    this.judgeModel()
  }

  private judgeTool(tool: Tool): void {
    const { findings, office, task, where } = this
    const times = office.count(task, tool)
    if (times === 0) findings.lost(`${where}: ${tool} was not done`)
    if (times > (this.mayRepeat(tool) ? 2 : 1)) findings.doubled(`${where}: ${tool} was done ${times} times`)
  }

  /** Only what may be repeated, only while it was under way, and only because the engine was killed that knew of it. */
  private mayRepeat(tool: Tool): boolean {
    const { call, point, victim } = this.place
    if (victim !== 'engine' || tool === 'post') return false
    // At whatever point of the one branch, the call of the other may be under way.
    if (tool.startsWith('look') && this.place.looks && call !== tool) return true
    return call === tool && point !== 'after journal'
  }

  private judgeModel(): void {
    const { findings, office, place, task, where } = this
    const times = office.asked.get(task) ?? 0
    // Whoever runs the chat is not who asks the model: its death costs no request.
    const most = place.victim === 'agent-core' ? MODEL_CALLS : MODEL_CALLS + 1
    if (times > most) findings.doubled(`${where}: the model was asked ${times} times, not ${MODEL_CALLS}`)
    if (times < MODEL_CALLS) findings.wrong(`${where}: the model was asked only ${times} times`)
  }
}
