import { beforeEach, describe, expect, it } from 'vitest'
import { JournalWorld } from './journal.fixture.ts'

let world: JournalWorld

beforeEach(() => {
  world = new JournalWorld()
})

describe('a run', () => {
  it('is written down, handed to a process as attempt 1, and its result is the answer', async () => {
    const call = world.begin()
    const { context, data } = world.given(world.flow)
    expect(context).toMatchObject({ run: expect.stringMatching(/^run-[0-9a-f-]{36}$/), attempt: 1, recorded: 0 })
    expect(data).toEqual({ n: 1 })
    world.finish({ ok: 'done' })
    expect(world.caller.result(call)?.result).toEqual({ ok: 'done' })
    expect(await world.query('engine::runs::get', { runId: context!.run })).toMatchObject({
      status: 'done',
      function: 'flow::run',
      worker: 'flow',
      attempts: 1,
      input: { n: 1 },
      result: { ok: 'done' },
    })
  })

  it('fails with the error of its handler', async () => {
    const call = world.begin()
    const runId = world.runId
    world.fail('boom', 'it broke')
    expect(world.caller.result(call)?.error).toMatchObject({ code: 'boom', message: 'it broke' })
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      status: 'failed',
      error: { code: 'boom' },
    })
  })

  it('goes to the next process when its process dies, with the steps that are recorded', () => {
    const call = world.begin()
    expect(world.does('1', 'tool::send', { sent: 1 })).toEqual({ sent: 1 })
    expect(world.does('2', 'tool::read', 'two')).toBe('two')
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    expect(world.given(world.flow).context).toMatchObject({ attempt: 2, recorded: 2 })
    const again = world.ask('1', 'tool::send')
    expect(world.flow.result(again)?.result).toEqual({ sent: 1 })
    expect(world.flow.result(world.ask('2', 'tool::read'))?.result).toBe('two')
    expect(world.calls('tool::send')).toBe(1)
    expect(world.calls('tool::read')).toBe(1)
    expect(world.does('3', 'tool::read', 'three')).toBe('three')
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })

  it('goes on after the engine was killed, without its caller', async () => {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::send', 'sent')
    world.restart()
    world.connect()
    expect(world.given(world.flow).context).toMatchObject({ run: runId, attempt: 2, recorded: 1 })
    expect(world.flow.result(world.ask('1', 'tool::send'))?.result).toBe('sent')
    expect(world.calls('tool::send'), 'not sent by the engine of now').toBe(0)
    world.finish('end')
    expect(await world.query('engine::runs::result', { runId })).toEqual({ runId, status: 'done', result: 'end' })
  })

  it('waits for the clients of the engine that was killed, and new runs wait with it', () => {
    world.begin()
    world.restart({ waitsForClients: false })
    world.connect()
    world.begin()
    expect(world.flow.served).toEqual([])
    world.time.advance(1_000)
    world.settle()
    expect(world.flow.served).toHaveLength(2)
  })

  it('that is in doubt after a restart says so to who joins it while clients are waited for', () => {
    const key = { idempotency_key: 'once' }
    world.begin(key)
    world.ask('1', 'tool::send')
    world.restart({ waitsForClients: false })
    world.connect()
    world.begin(key)
    world.time.advance(1_000)
    world.settle()
    const ask = world.ask('1', 'tool::send')
    expect(world.flow.result(ask)?.error).toMatchObject({ code: 'run_suspended', details: { reason: 'in_doubt' } })
  })

  it('keeps the step that is under way when its process dies: it is journaled for the next', () => {
    world.begin()
    world.ask('1', 'tool::send')
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    world.tool.answer(world.given(world.tool, 'tool::send'), 'sent once')
    const id = world.ask('1', 'tool::send')
    expect(world.flow.result(id)?.result).toBe('sent once')
    expect(world.calls('tool::send')).toBe(1)
  })

  it('takes no step of an attempt that is over', () => {
    world.begin()
    const old = { peer: world.flow, attempt: world.given(world.flow) }
    // Its engine side is dead, but its process does not know yet.
    const ghost = world.flowProcess()
    world.flow.close()
    world.flow = ghost
    world.settle()
    expect(world.given(ghost).context).toMatchObject({ attempt: 2 })
    const id = world.ask('1', 'tool::send', {}, { peer: ghost, attempt: old.attempt })
    expect(ghost.code(id)).toBe('forbidden')
    expect(world.calls('tool::send')).toBe(0)
  })

  it('ends as run_crashed after five processes gave it back without a step', async () => {
    const call = world.begin()
    const { runId } = world
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(world.given(world.flow).context!.attempt).toBe(attempt)
      world.fail('shutting_down')
    }
    expect(world.caller.code(call)).toBe('run_crashed')
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'failed', attempts: 5 })
  })

  it('is cancelled with its steps when its caller leaves, and so when the deadline passes', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    world.caller.close()
    world.settle()
    expect(world.flow.cancelled(world.given(world.flow) as never)).toBe(true)
    expect(world.tool.cancelled(world.given(world.tool, 'tool::send') as never)).toBe(true)
    world.caller = world.owner()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'cancelled' })

    const late = world.begin({ deadline_ms: 1_000 })
    expect(world.given(world.flow).context!.deadline_ms).toBeGreaterThan(900)
    const second = world.runId
    world.time.advance(1_100)
    expect(world.caller.code(late)).toBe('deadline_exceeded')
    expect(await world.query('engine::runs::get', { runId: second })).toMatchObject({
      status: 'cancelled',
      reason: 'deadline_exceeded',
    })
  })

  it('with an idempotency key outlives its caller, and answers whoever asks again with the key', async () => {
    world.begin({ idempotency_key: 'once' })
    const { runId } = world
    world.caller.close()
    world.caller = world.owner()
    const again = world.begin({ idempotency_key: 'once' })
    expect(world.flow.served).toHaveLength(1)
    const other = world.begin({ idempotency_key: 'once', data: { n: 2 } })
    expect(world.caller.code(other)).toBe('key_reused')
    world.finish('end')
    expect(world.caller.result(again)?.result).toBe('end')
    const later = world.begin({ idempotency_key: 'once' })
    expect(world.caller.result(later)?.result).toBe('end')
    world.restart()
    world.connect()
    expect(world.caller.result(world.begin({ idempotency_key: 'once' }))?.result).toBe('end')
    expect(await world.query('engine::runs::list')).toMatchObject({ runs: [{ id: runId, keyed: true }] })
  })

  it('that never began because its worker is away fails, and its key is free again', () => {
    world.flow.close()
    const call = world.begin({ idempotency_key: 'k' })
    world.time.advance(11_000)
    expect(world.caller.code(call)).toBe('worker_unavailable')
    world.flow = world.flowProcess()
    const again = world.begin({ idempotency_key: 'k' })
    world.finish('now')
    expect(world.caller.result(again)?.result).toBe('now')
  })
})

describe('an answer about runs', () => {
  const text = 'x'.repeat(1_500)

  it('is a page that ends early where they are large, and goes on behind it', async () => {
    world = new JournalWorld(1_000)
    for (let n = 0; n < 5; n += 1) world.begin()
    const pages: number[] = []
    const seen = new Set<string>()
    let after: string | undefined
    do {
      const page: { runs: { id: string }[]; next?: string } = await world.query('engine::runs::list', { after })
      pages.push(page.runs.length)
      for (const { id } of page.runs) seen.add(id)
      after = page.next
    } while (after !== undefined)
    expect(Math.max(...pages)).toBeLessThan(5)
    expect([seen.size, pages.reduce((sum, length) => sum + length, 0)]).toEqual([5, 5])
  })

  it('is refused where one run is too large for it, and not without the values of its steps', async () => {
    world = new JournalWorld(6_000)
    world.begin()
    const { runId } = world
    for (const step of ['1', '2']) world.does(step, 'tool::read', text)
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ journal: [{ result: text }, {}] })
    for (const step of ['3', '4']) world.does(step, 'tool::read', text)
    await expect(world.query('engine::runs::get', { runId })).rejects.toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('engine::runs::get {runId, values: false}'),
    })
    const bare = await world.query<{ journal: object[] }>('engine::runs::get', { runId, values: false })
    expect(bare.journal).toHaveLength(4)
    expect(bare.journal[0]).toMatchObject({ step: '1', status: 'done' })
    expect(JSON.stringify(bare)).not.toContain(text)
  })
})

describe('a step', () => {
  it('that differs from what is recorded at its place parks the run as diverged, and its journal stays', async () => {
    const call = world.begin()
    const { runId } = world
    world.does('1', 'tool::read', 'one', { q: 'a' })
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    const id = world.ask('1', 'tool::read', { q: 'b' })
    expect(world.flow.result(id)?.error).toMatchObject({ code: 'run_diverged', details: { step: '1', runId } })
    expect(world.caller.code(call)).toBe('run_diverged')
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      status: 'parked',
      reason: 'diverged',
      journal: [{ step: '1', status: 'done', result: 'one' }],
    })
    world.unwind()
    await world.query('engine::runs::resume', { runId, answer: 'repeat' })
    expect(world.flow.result(world.ask('1', 'tool::read', { q: 'a' }))?.result).toBe('one')
  })

  it('is the same with another channel in its input', () => {
    world.begin()
    const channel = { channel_id: 'c1', access_key: 'k1', direction: 'write' }
    world.does('1', 'tool::read', 'one', { stream: channel })
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    const id = world.ask('1', 'tool::read', { stream: { ...channel, channel_id: 'c2', access_key: 'k2' } })
    expect(world.flow.result(id)?.result).toBe('one')
  })

  it('is not shown with the key of a channel, nor is the input of the run', async () => {
    const channel = { channel_id: 'c1', access_key: 'k1', direction: 'write' }
    world.begin({ data: { stream: channel } })
    expect(world.given(world.flow).data).toEqual({ stream: channel })
    world.ask('1', 'tool::read', { stream: channel })
    const run = await world.query('engine::runs::get', { runId: world.runId })
    expect(run).toMatchObject({ input: {}, journal: [{ name: 'tool::read', input: {} }] })
    expect(JSON.stringify(run)).not.toContain('k1')
  })

  it('that may not be repeated has its intent on disk before it is sent; others do not wait for that', () => {
    world.begin()
    const attempt = world.given(world.flow)
    for (const [step, id, before] of [
      ['1', 'tool::send', 0],
      ['2', 'tool::read', 1],
      ['3', 'tool::keyed', 1],
    ] as const) {
      world.flow.call(id, { parent: attempt.invocation_id, step })
      expect(world.calls(id), id).toBe(before)
    }
    world.settle()
    expect(world.calls('tool::send')).toBe(1)
    expect(world.given(world.tool, 'tool::send').context!.idempotency_key).toBe(`${world.runId}/1`)
  })

  it('is repeated by the engine where that is harmless and its executor died', () => {
    world.begin()
    const id = world.ask('1', 'tool::keyed')
    world.tool.close()
    world.tool = world.toolProcess()
    world.time.advance(1_000)
    world.tool.answer(world.given(world.tool, 'tool::keyed') as never, 'second time')
    world.settle()
    expect(world.flow.result(id)?.result).toBe('second time')
    expect(world.given(world.tool, 'tool::keyed').context!.idempotency_key).toBe(`${world.runId}/1`)
  })

  it('that may not be repeated and whose executor died is in doubt: the run parks and asks', async () => {
    world.begin()
    const { runId } = world
    const id = world.ask('1', 'tool::send', { to: 'ada' })
    world.tool.close()
    world.tool = world.toolProcess()
    world.settle()
    expect(world.flow.code(id)).toBe('run_suspended')
    world.unwind()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      status: 'parked',
      reason: 'in_doubt',
      question: { step: '1', function: 'tool::send', input: { to: 'ada' } },
    })
    await world.query('engine::runs::resume', { runId, step: '1', answer: 'done', result: { id: 7 } })
    expect(world.given(world.flow).context!.attempt).toBe(2)
    expect(world.flow.result(world.ask('1', 'tool::send', { to: 'ada' }))?.result).toEqual({ id: 7 })
    expect(world.calls('tool::send')).toBe(0)
  })

  it('with an intent and no result after a restart of the engine is in doubt; repeat makes the call again', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    world.restart()
    world.connect()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'parked', reason: 'in_doubt' })
    expect(world.flow.served).toEqual([])
    await world.query('engine::runs::resume', { runId, step: '1', answer: 'repeat' })
    expect(world.does('1', 'tool::send', 'again')).toBe('again')
    await expect(world.query('engine::runs::resume', { runId, step: '1', answer: 'repeat' })).rejects.toMatchObject({
      code: 'conflict',
    })
  })

  it('that failed is recorded with its error', () => {
    world.begin()
    const id = world.ask('1', 'tool::read')
    const { invocation_id } = world.given(world.tool, 'tool::read')
    const error = { code: 'not_found', message: 'nothing there', details: { a: 1 } }
    world.tool.tell({ type: 'invocationresult', invocation_id, error })
    world.settle()
    expect(world.flow.result(id)?.error).toEqual(error)
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    expect(world.flow.result(world.ask('1', 'tool::read'))?.error).toEqual(error)
    expect(world.calls('tool::read')).toBe(1)
  })

  it('is cancelled where its handler aborts it, and that is what the journal says', () => {
    world.begin()
    const id = world.ask('1', 'tool::send')
    world.flow.tell({ type: 'cancelinvocation', invocation_id: id, reason: 'changed its mind' })
    world.settle()
    expect(world.tool.cancelled(world.given(world.tool, 'tool::send') as never)).toBe(true)
    expect(world.flow.code(id)).toBe('cancelled')
    expect(world.flow.code(world.ask('1', 'tool::send'))).toBe('cancelled')
  })

  it('of work in the process is recorded, and looked up by the next attempt', () => {
    world.begin()
    const look = world.ask('1', 'engine::journal::look', { name: 'roll' })
    expect(world.flow.result(look)?.result).toEqual({ recorded: false })
    const record = world.ask('1', 'engine::journal::record', { name: 'roll', result: 6 })
    expect(world.flow.result(record)?.result).toBe(6)
    world.flow.close()
    world.flow = world.flowProcess()
    world.settle()
    const found = world.ask('1', 'engine::journal::look', { name: 'roll' })
    expect(world.flow.result(found)?.result).toEqual({ recorded: true, result: 6 })
  })

  it('is refused without a run', () => {
    const id = world.flow.call('tool::read', { step: '1' })
    world.settle()
    expect(world.flow.code(id)).toBe('conflict')
  })
})

describe('waiting', () => {
  const wait = (data: object = {}): string => world.ask('1', 'engine::journal::wait', { name: 'answer', ...data })

  it('suspends the run until its signal comes; the next attempt has the value', async () => {
    const call = world.begin()
    const { runId } = world
    const id = wait({ question: 'May I?' })
    expect(world.flow.code(id)).toBe('run_suspended')
    world.unwind()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      status: 'waiting',
      reason: 'signal',
      question: { step: '1', signal: 'answer', question: 'May I?' },
    })
    expect(world.caller.result(call)).toBeUndefined()
    await world.query('engine::runs::signal', { runId, name: 'answer', value: { yes: true } })
    expect(world.given(world.flow).context!.attempt).toBe(2)
    expect(world.flow.result(wait())?.result).toEqual({ yes: true })
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })

  it('answers its callers at once where the handler has an answer for them, and goes on without them', async () => {
    const call = world.begin({ deadline_ms: 500 })
    const { runId } = world
    wait()
    world.unwind({ pending: true })
    expect(world.caller.result(call)?.result).toEqual({ pending: true })
    world.caller.close()
    world.caller = world.owner()
    world.time.advance(1_000)
    await world.query('engine::runs::signal', { runId, name: 'answer' })
    world.finish('end')
    expect(await world.query('engine::runs::result', { runId })).toMatchObject({ status: 'done', result: 'end' })
  })

  it('is explained to a caller that joins by its key later, after a restart of the engine too', async () => {
    world.begin({ idempotency_key: 'k' })
    const { runId } = world
    wait()
    world.unwind({ waits: 1 })
    for (const answer of [{ waits: 2 }, { waits: 3 }]) {
      const again = world.begin({ idempotency_key: 'k' })
      expect(world.runId).toBe(runId)
      expect(world.flow.code(wait())).toBe('run_suspended')
      world.unwind(answer)
      expect(world.caller.result(again)?.result).toEqual(answer)
      world.restart()
      world.connect()
    }
    // One who has asked while nobody can tell hears the end.
    const last = world.begin({ idempotency_key: 'k' })
    await world.query('engine::runs::signal', { runId, name: 'answer', value: 5 })
    expect(world.flow.result(wait())?.result).toBe(5)
    world.finish('end')
    expect(world.caller.result(last)?.result).toBe('end')
  })

  it('takes a signal that came before, and each name once', async () => {
    world.begin()
    const { runId } = world
    const signal = (value: number) => world.query('engine::runs::signal', { runId, name: 'answer', value })
    await signal(1)
    await expect(signal(2)).rejects.toMatchObject({ code: 'conflict' })
    expect(world.flow.result(wait())?.result).toBe(1)
    await expect(signal(3)).rejects.toMatchObject({ code: 'conflict' })
  })

  it('of several branches for the same signal ends for all of them', async () => {
    world.begin()
    const { runId } = world
    for (const step of ['1.0.1', '1.1.1']) world.flow.call('engine::journal::wait', waitFrame(step))
    world.settle()
    world.unwind()
    await world.query('engine::runs::signal', { runId, name: 'answer', value: 1 })
    for (const step of ['1.0.1', '1.1.1']) {
      expect(world.flow.result(world.ask(step, 'engine::journal::wait', { name: 'answer' }))?.result).toBe(1)
    }
  })

  const waitFrame = (step: string): object => ({
    parent: world.given(world.flow).invocation_id,
    step,
    data: { name: 'answer' },
  })

  it('is suspended whatever the handler answers, and its later steps are refused', async () => {
    world.begin()
    const { runId } = world
    wait()
    expect(world.flow.code(world.ask('2', 'tool::read'))).toBe('run_suspended')
    world.finish('swallowed it')
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'waiting' })
    expect(world.calls('tool::read')).toBe(0)
  })

  it('expires, over a restart of the engine too, with the code that the handler gave', async () => {
    world.begin()
    const { runId } = world
    wait({ expiresMs: 60_000, expiredCode: 'approval_expired' })
    world.unwind()
    world.restart()
    world.connect()
    expect(world.flow.served, 'it waits').toEqual([])
    world.time.advance(61_000)
    expect(world.given(world.flow).context!.run).toBe(runId)
    const error = world.flow.result(wait({ expiresMs: 60_000 }))?.error
    expect(error).toMatchObject({ code: 'approval_expired', details: { expired: true, signal: 'answer' } })
    await expect(world.query('engine::runs::signal', { runId, name: 'answer' })).resolves.toBeDefined()
  })

  it('has exactly one winner among fifty signals, resumes or cancels at once; the others conflict', async () => {
    const codes = async (functionId: string, data: (n: number) => object): Promise<(string | undefined)[]> => {
      const ids = Array.from({ length: 50 }, (_, n) => world.caller.call(functionId, { data: data(n) }))
      world.settle()
      return ids.map((id) => world.caller.code(id) ?? 'ok').sort()
    }
    const oneWins = [...Array.from({ length: 49 }, () => 'conflict'), 'ok']
    world.begin()
    const { runId } = world
    wait()
    world.unwind()
    expect(await codes('engine::runs::signal', (value) => ({ runId, name: 'answer', value }))).toEqual(oneWins)
    world.ask('1', 'engine::journal::wait', { name: 'answer' })
    world.ask('2', 'tool::send')
    world.tool.close()
    world.settle()
    world.unwind()
    const resume = (result: number) => ({ runId, step: '2', answer: 'done', result })
    expect(await codes('engine::runs::resume', resume)).toEqual(oneWins)
    expect(await codes('engine::runs::cancel', () => ({ runId }))).toEqual(oneWins)
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'cancelled' })
  })

  it('lets the steps beside it go on, and records them', async () => {
    world.begin()
    const { runId } = world
    const beside = world.ask('1.1.1', 'tool::read')
    world.ask('1.0.1', 'engine::journal::wait', { name: 'answer' })
    expect(world.flow.code(beside), 'it is not waited for').toBe('run_suspended')
    world.unwind()
    world.tool.answer(world.given(world.tool, 'tool::read') as never, 'beside')
    await world.query('engine::runs::signal', { runId, name: 'answer', value: 1 })
    expect(world.flow.result(world.ask('1.1.1', 'tool::read'))?.result).toBe('beside')
    expect(world.calls('tool::read')).toBe(1)
  })
})

describe('a step that needs an approval', () => {
  const refuse = (): void => {
    const { invocation_id } = world.given(world.tool, 'tool::send')
    const details = { requestId: 'apr-1', expiresAt: world.time.now() + 60_000 }
    const error = { code: 'approval_required', message: 'ask first', details }
    world.tool.tell({ type: 'invocationresult', invocation_id, error })
    world.settle()
  }

  it('waits for it, and then its call is made again with the same key', async () => {
    world.begin()
    const { runId } = world
    const id = world.ask('1', 'tool::send', { to: 'ada' })
    refuse()
    expect(world.flow.code(id)).toBe('run_suspended')
    world.unwind()
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      status: 'waiting',
      reason: 'approval',
      question: { step: '1', function: 'tool::send', signal: 'approval:apr-1' },
    })
    world.restart()
    world.connect()
    await world.query('engine::runs::signal', { runId, name: 'approval:apr-1', value: 'approved' })
    expect(world.does('1', 'tool::send', 'sent', { to: 'ada' })).toBe('sent')
    expect(world.given(world.tool, 'tool::send').context!.idempotency_key).toBe(`${runId}/1`)
    expect(world.calls('tool::send')).toBe(1)
  })

  /** What the gate was asked about a request, and has not answered yet. */
  const question = () => {
    expect(world.given(world.gate, 'approval::gate').data).toEqual({ requestId: 'apr-1' })
    return world.given(world.gate, 'approval::gate')
  }
  const answer = (value: object): void => {
    world.gate.answer(question(), value)
    world.settle()
  }

  it('is over when the approval expires, and its call is not made again', () => {
    world.begin()
    world.ask('1', 'tool::send')
    refuse()
    world.unwind()
    world.time.advance(61_000)
    answer({ decision: 'timed_out' })
    expect(world.flow.code(world.ask('1', 'tool::send'))).toBe('approval_expired')
    expect(world.calls('tool::send')).toBe(1)
  })

  it.each([
    ['approved', undefined],
    ['denied', 'approval_denied'],
  ])('that was %s without anybody telling the run asks before it gives up', async (decision, code) => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send', { to: 'ada' })
    refuse()
    world.unwind()
    world.restart()
    world.connect()
    world.time.advance(61_000)
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'waiting' })
    answer({ decision })
    if (code) expect(world.flow.code(world.ask('1', 'tool::send', { to: 'ada' }))).toBe(code)
    else expect(world.does('1', 'tool::send', 'sent', { to: 'ada' })).toBe('sent')
  })

  it('waits on where the request is open still, or nobody who knows can be asked, over a restart too', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    refuse()
    world.unwind()
    world.time.advance(61_000)
    answer({ pending: true, expiresAt: world.time.now() + 5_000 })
    const asked = world.gate.served.length
    world.time.advance(4_000)
    expect(world.gate.served).toHaveLength(asked)
    world.time.advance(2_000)
    expect(world.gate.served).toHaveLength(asked + 1)
    world.gate.close()
    world.time.advance(100_000)
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'waiting', reason: 'approval' })
    world.restart()
    world.connect()
    // What comes meanwhile is as good as an answer.
    await world.query('engine::runs::signal', { runId, name: 'approval:apr-1', value: { decision: 'approved' } })
    answer({ decision: 'timed_out' })
    expect(world.does('1', 'tool::send', 'sent')).toBe('sent')
  })

  it.each([
    ['denied', 'approval_denied'],
    ['timed_out', 'approval_expired'],
  ])('is over when it was %s, and its call is not made again', async (decision, code) => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    refuse()
    world.unwind()
    await world.query('engine::runs::signal', { runId, name: 'approval:apr-1', value: { decision } })
    expect(world.flow.code(world.ask('1', 'tool::send'))).toBe(code)
    expect(world.calls('tool::send')).toBe(1)
  })

  it('that was denied says why, as the person did', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    refuse()
    world.unwind()
    const value = { decision: 'denied', reason: 'not on a Sunday' }
    await world.query('engine::runs::signal', { runId, name: 'approval:apr-1', value })
    const id = world.ask('1', 'tool::send')
    expect(world.flow.result(id)?.error).toMatchObject({
      code: 'approval_denied',
      message: expect.stringMatching(/: not on a Sunday$/),
    })
  })

  it('ends with approval_required where the approval was used up and one is needed again', async () => {
    world.begin()
    const { runId } = world
    world.ask('1', 'tool::send')
    refuse()
    world.unwind()
    await world.query('engine::runs::signal', { runId, name: 'approval:apr-1' })
    const id = world.ask('1', 'tool::send')
    refuse()
    expect(world.flow.code(id)).toBe('approval_required')
  })
})

describe('a run within a run', () => {
  it('is found again by the step that began it, and is cancelled with it', async () => {
    world.begin()
    const { runId } = world
    world.flow.register('flow::other')
    const id = world.ask('1', 'flow::other', { inner: true })
    const inner = world.given(world.flow, 'flow::other')
    expect(inner.context!.run).not.toBe(runId)
    world.flow.answer(inner as never, 'inner result')
    world.settle()
    expect(world.flow.result(id)?.result).toBe('inner result')
    world.ask('2', 'flow::other', { second: true })
    const second = world.given(world.flow, 'flow::other').context!.run
    world.restart()
    world.connect()
    world.flow.register('flow::other', { instance: 'other' })
    world.time.advance(10_000)
    const again = world.ask('2', 'flow::other', { second: true })
    expect(world.given(world.flow, 'flow::other').context).toMatchObject({ run: second, attempt: 2 })
    expect(world.flow.result(again)).toBeUndefined()
    await world.query('engine::runs::cancel', { runId })
    expect(await world.query('engine::runs::get', { runId: second })).toMatchObject({ status: 'cancelled' })
  })
})

describe('engine::runs', () => {
  it('lists the runs of the realm, the newest first, by status, function and session, page by page', async () => {
    const ids: string[] = []
    for (let n = 0; n < 5; n++) {
      world.time.advance(10)
      world.begin({ session: n % 2 === 0 ? 'even' : 'odd' })
      ids.unshift(world.runId)
      if (n < 3) world.finish(n)
    }
    const list = async (filter: object = {}): Promise<{ ids: string[]; next?: string }> => {
      const page = await world.query<{ runs: { id: string }[]; next?: string }>('engine::runs::list', filter)
      return { ids: page.runs.map(({ id }) => id), ...(page.next === undefined ? {} : { next: page.next }) }
    }
    expect((await list()).ids).toEqual(ids)
    expect((await list({ status: 'running' })).ids).toEqual(ids.slice(0, 2))
    expect((await list({ session: 'odd', function: 'flow::run' })).ids).toEqual([ids[1], ids[3]])
    const first = await list({ limit: 2 })
    expect(first.ids).toEqual(ids.slice(0, 2))
    expect((await list({ limit: 10, after: first.next })).ids).toEqual(ids.slice(2))
    await expect(list({ status: 'lost' })).rejects.toMatchObject({ code: 'deserialization_error' })
  })

  it('shows the owner at home the runs that schedules of workers began, and has them decided there', async () => {
    const ids: string[] = []
    for (const realm of ['realm-default', 'system', 'realm-default', 'system']) {
      world.time.advance(10)
      world.caller.call('flow::run', { data: {}, realm })
      world.settle()
      ids.unshift(world.runId)
    }
    const list = (filter: object = {}) =>
      world.query<{ runs: { id: string }[]; next?: string }>('engine::runs::list', filter)
    expect((await list()).runs.map(({ id }) => id)).toEqual(ids)
    const first = await list({ limit: 3 })
    expect(first.runs.map(({ id }) => id)).toEqual(ids.slice(0, 3))
    expect((await list({ limit: 3, after: first.next })).runs.map(({ id }) => id)).toEqual(ids.slice(3))
    const [runId] = ids
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'running' })
    const guest = world.guest()
    expect(await world.query('engine::runs::list', {}, guest)).toEqual({ runs: [] })
    await expect(world.query('engine::runs::get', { runId }, guest)).rejects.toMatchObject({ code: 'not_found' })
    const elsewhere = world.caller.call('engine::runs::get', { data: { runId }, realm: 'realm-other' })
    world.settle()
    expect(world.caller.code(elsewhere)).toBe('not_found')
    expect(await world.query('engine::runs::cancel', { runId })).toMatchObject({ status: 'cancelled' })
  })

  it('is ended by a guest only where he began it, also through a worker that asks for him', async () => {
    world.begin()
    const { runId } = world
    const guest = world.guest()
    guest.call('tool::keyed', { data: {} })
    world.settle()
    const { invocation_id: parent } = world.given(world.tool, 'tool::keyed')
    const asked = ['get', 'cancel', 'result', 'resume', 'signal'].map((verb) =>
      world.tool.call(`engine::runs::${verb}`, { parent, data: { runId, name: 'a', answer: 'failed' } }),
    )
    const absent = world.tool.call('engine::runs::cancel', { parent, data: { runId: 'run-nothing' } })
    world.settle()
    const { message } = world.tool.result(absent)!.error!
    for (const call of asked) {
      const error = world.tool.result(call)!.error!
      expect({ ...error, message: error.message.replace(runId, 'run-nothing') }).toEqual({ code: 'not_found', message })
    }
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'running' })
    expect(await world.query('engine::runs::cancel', { runId })).toMatchObject({ status: 'cancelled' })
  })

  it('knows no run of another realm, and shows guests only their own', async () => {
    world.begin()
    const { runId } = world
    const guest = world.guest()
    await expect(world.query('engine::runs::get', { runId }, guest)).rejects.toMatchObject({ code: 'not_found' })
    await expect(world.query('engine::runs::cancel', { runId }, guest)).rejects.toMatchObject({ code: 'not_found' })
    await expect(world.query('engine::runs::signal', { runId, name: 'a' }, guest)).rejects.toMatchObject({
      code: 'forbidden',
    })
    expect(await world.query('engine::runs::list', {}, guest)).toEqual({ runs: [] })
    guest.call('flow::run', { data: {} })
    world.settle()
    const own = world.runId
    expect(await world.query('engine::runs::get', { runId: own }, guest)).toMatchObject({ status: 'running' })
    const elsewhere = world.caller.call('engine::runs::get', { data: { runId }, realm: 'realm-other' })
    world.settle()
    expect(world.caller.code(elsewhere)).toBe('not_found')
  })

  it('result waits for the end, or for as long as it is asked to', async () => {
    world.begin()
    const { runId } = world
    const ask = (waitMs: number) => world.caller.call('engine::runs::result', { data: { runId, waitMs } })
    const short = ask(100)
    const long = ask(10_000)
    world.time.advance(200)
    expect(world.caller.result(short)?.result).toEqual({ runId, status: 'running' })
    expect(world.caller.result(long)).toBeUndefined()
    world.finish(42)
    expect(world.caller.result(long)?.result).toEqual({ runId, status: 'done', result: 42 })
  })

  it('adds up what the steps cost', async () => {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::read', { usage: { inputTokens: 10 }, cost: { microUsd: 7, priced: true } })
    world.does('2', 'tool::read', { usage: { inputTokens: 5 }, cost: { microUsd: null } }, { n: 2 })
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({
      steps: 2,
      costMicroUsd: 7,
      usage: { inputTokens: 15 },
    })
  })

  it('forgets a run some time after its end, and keeps the open ones', async () => {
    world.begin()
    const old = world.runId
    world.finish('end')
    world.begin()
    const open = world.runId
    world.time.advance(6 * 24 * 3_600_000)
    expect(await world.query('engine::runs::get', { runId: old })).toMatchObject({ status: 'done' })
    world.time.advance(2 * 24 * 3_600_000)
    await expect(world.query('engine::runs::get', { runId: old })).rejects.toMatchObject({ code: 'not_found' })
    expect(await world.query('engine::runs::list')).toMatchObject({ runs: [{ id: open }] })
    const left = [...world.disk.partitions].flatMap(([name, rows]) =>
      [...rows.values()].filter((row) => row.value !== null && `${name} ${row.key} ${row.value}`.includes(old)),
    )
    expect(left).toEqual([])
  })
})

describe('a replay', () => {
  /** A run of two calls and a piece of work, done; the tools were called once each. */
  function finished(): string {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::send', 'sent', { to: 'ada' })
    world.does('2', 'tool::read', 'read')
    world.ask('3', 'engine::journal::record', { name: 'roll', result: 6 })
    world.finish({ ok: true })
    return runId
  }

  function replay(runId: string, more: object = {}): string {
    const id = world.caller.call('engine::runs::replay', { data: { runId, ...more } })
    world.settle()
    return id
  }

  it('answers every step from the journal, executes nothing, and compares the end', async () => {
    const runId = finished()
    const id = replay(runId)
    // Under the name of what it replays, which its result may hold. No step is new: it looks for each before it works.
    const context = { run: runId, attempt: 1, recorded: Number.MAX_SAFE_INTEGER }
    expect(world.given(world.flow)).toMatchObject({ data: { n: 1 }, context })
    expect(world.flow.result(world.ask('1', 'tool::send', { to: 'ada' }))?.result).toBe('sent')
    expect(world.flow.result(world.ask('2', 'tool::read'))?.result).toBe('read')
    const look = world.ask('3', 'engine::journal::look', { name: 'roll' })
    expect(world.flow.result(look)?.result).toEqual({ recorded: true, result: 6 })
    // The handler may have made something of its id.
    expect(world.runId).toBe(runId)
    world.finish({ ok: true })
    expect(world.caller.result(id)?.result).toEqual({ ok: true, divergences: [], resultEqual: true })
    expect([world.calls('tool::send'), world.calls('tool::read')]).toEqual([1, 1])
    const { runs } = await world.query<{ runs: { id: string; replayOf?: string }[] }>('engine::runs::list')
    expect(runs.map(({ replayOf }) => replayOf).toSorted()).toEqual([runId, undefined])
  })

  it('of a replay is one of the original', async () => {
    const runId = finished()
    const again = (of: string): void => {
      const id = replay(of)
      expect(world.given(world.flow)).toMatchObject({ context: { run: runId } })
      world.ask('1', 'tool::send', { to: 'ada' })
      world.ask('2', 'tool::read')
      world.ask('3', 'engine::journal::look', { name: 'roll' })
      world.finish({ ok: true })
      expect(world.caller.result(id)?.result).toMatchObject({ ok: true, divergences: [] })
    }
    again(runId)
    const { runs } = await world.query<{ runs: { id: string; replayOf?: string }[] }>('engine::runs::list')
    again(runs.find(({ replayOf }) => replayOf === runId)!.id)
  })

  it('tells another input, a step that is gone and another end', () => {
    const id = replay(finished())
    expect(world.flow.result(world.ask('1', 'tool::send', { to: 'eve' }))?.result).toBe('sent')
    world.ask('2', 'tool::read')
    world.finish({ ok: false })
    expect(world.caller.result(id)?.result).toMatchObject({
      ok: false,
      resultEqual: false,
      divergences: [
        { step: '1', recorded: { name: 'tool::send' }, asked: { name: 'tool::send' } },
        { step: '3', recorded: { kind: 'work', name: 'roll' }, asked: null },
      ],
    })
    expect(world.calls('tool::send')).toBe(1)
  })

  it('ends at a step that was never recorded, and does not execute it', () => {
    const id = replay(finished())
    world.ask('1', 'tool::keyed')
    expect(world.caller.result(id)?.result).toMatchObject({
      ok: false,
      divergences: [{ step: '1', recorded: { name: 'tool::send' }, asked: { name: 'tool::keyed' } }],
    })
    expect(world.calls('tool::keyed')).toBe(0)
  })

  it('ends before work that was never recorded: the process is told of the end instead of doing it', () => {
    world.begin()
    const { runId } = world
    world.does('1', 'tool::send', 'sent')
    world.caller.call('engine::runs::cancel', { data: { runId } })
    world.settle()
    const id = replay(runId)
    expect(world.given(world.flow).context!.recorded).toBeGreaterThan(1)
    world.ask('1', 'tool::send')
    expect(world.flow.code(world.ask('2', 'engine::journal::look', { name: 'roll' }))).toBe('run_suspended')
    expect(world.caller.result(id)?.result).toMatchObject({ divergences: [{ step: '2', recorded: null }] })
  })

  it('with `from` is a fork: a new run that begins with the steps before that one', async () => {
    const runId = finished()
    const id = replay(runId, { from: '2' })
    const { runId: fork } = world.caller.result(id)!.result as { runId: string }
    expect(world.given(world.flow).context).toMatchObject({ run: fork, attempt: 1, recorded: 1 })
    expect(world.flow.result(world.ask('1', 'tool::send', { to: 'ada' }))?.result).toBe('sent')
    expect(world.does('2', 'tool::read', 'read anew')).toBe('read anew')
    expect([world.calls('tool::send'), world.calls('tool::read')]).toEqual([1, 2])
    world.restart()
    world.connect()
    expect(world.flow.result(world.ask('1', 'tool::send', { to: 'ada' }))?.result).toBe('sent')
    expect(world.flow.result(world.ask('2', 'tool::read'))?.result).toBe('read anew')
    world.finish('forked')
    expect(await world.query('engine::runs::get', { runId: fork })).toMatchObject({
      status: 'done',
      forkOf: { run: runId, step: '2' },
      result: 'forked',
    })
    expect(world.caller.code(replay(runId, { from: '9' }))).toBe('not_found')
  })
})
