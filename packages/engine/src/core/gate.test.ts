import { randomUUID } from 'node:crypto'
import type { FunctionDescriptor } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { installed, type Peer, startCore } from '../../test/peers.ts'

const FUNCTIONS: (Partial<FunctionDescriptor> & { id: string })[] = [
  { id: 'tool::read', effects: 'read' },
  { id: 'tool::write', effects: 'write' },
  { id: 'tool::send', effects: 'external' },
  { id: 'tool::mail', effects: 'external', checked_by: 'tool::check' },
  { id: 'tool::check', effects: 'read', access: 'owner' },
  {
    id: 'tool::request',
    effects: 'varies',
    effects_by: {
      field: 'method',
      cases: { GET: 'read' },
      absent: 'read',
      otherwise: 'external',
      overridden_by: { field: 'headers', names: ['X-HTTP-Method-Override'] },
    },
  },
]
const gateWorker = installed('approval', [{ id: 'approval::gate', access: 'owner' }], { gate: 'approval::gate' })
const REFUSE = { allow: false, requestId: 'approval-1', expiresAt: 7 }

/** A core with a worker `tool`, and, unless told otherwise, a gate whose process runs. */
function start(options: { gate?: 'up' | 'down' | 'none' } = {}) {
  const { gate: state = 'up' } = options
  const loop = installed('agents', [{ id: 'agents::run' }], { speaksForAgents: true })
  const workers = [installed('tool', FUNCTIONS), loop, ...(state === 'none' ? [] : [gateWorker])]
  const core = startCore({ workers })
  const tool = core.worker('tool')
  for (const { id } of FUNCTIONS) tool.register(id)
  const gate = core.worker('approval')
  if (state === 'up') gate.register('approval::gate')
  const agents = core.worker('agents')
  agents.register('agents::run')
  return { ...core, tool, gate, agents }
}

/** A call that the agents' worker serves for somebody, as whose child it then calls. */
function servedFor(agents: Peer, caller: Peer, more: object = {}): { parent: string } {
  caller.call('agents::run', more)
  return { parent: last(agents.served).invocation_id! }
}

/** What a model of the agent `clerk` chose, in a call that its worker serves. */
const chosen = (agents: Peer, id: string, more: object = {}): string =>
  agents.call(id, { agent: 'clerk', ...servedFor(agents, agents), ...more })
const last = <T>(list: T[]): T => list.at(-1)!

describe('what a model chose', () => {
  it.each(['tool::read', 'tool::write', 'tool::send', 'state::nothing'])('%s waits for the gate', (id) => {
    const { gate, tool, agents, guest } = start()
    const caller = guest()
    caller.register('state::nothing')
    chosen(agents, id, { ...servedFor(agents, caller), data: { to: 'x' }, run: 'run-1', session: 's' })
    expect(tool.served).toEqual([])
    expect(last(gate.served).data).toMatchObject({
      agentId: 'clerk',
      functionId: id,
      input: { to: 'x' },
      runId: 'run-1',
      sessionId: 's',
      requestedBy: 'agents',
      onBehalfOf: { kind: 'guest', id: 'guest' },
    })
    expect(last(gate.served).data).not.toHaveProperty('below')
    expect(last(gate.served).context!.principal).toEqual({ kind: 'system', id: 'engine' })
  })

  it('goes on where the gate lets it through, and not a second time', () => {
    const { gate, tool, agents } = start()
    const call = chosen(agents, 'tool::send')
    gate.answer(last(gate.served), { allow: true, requestId: 'approval-1' })
    expect(tool.served).toHaveLength(1)
    tool.answer(last(tool.served), 'sent')
    expect(agents.result(call)).toMatchObject({ result: 'sent' })
  })

  it('fails with approval_required and the id of the request where it does not', () => {
    const { gate, tool, agents } = start()
    const call = chosen(agents, 'tool::send')
    gate.answer(last(gate.served), REFUSE)
    expect(tool.served).toEqual([])
    expect(agents.result(call)!.error).toMatchObject({
      code: 'approval_required',
      details: { requestId: 'approval-1', expiresAt: 7 },
    })
  })

  it.each([null, {}, { allow: 'true' }, { allow: 1 }, 'yes', true, [true]])(
    'does not go on by the answer %j',
    (answer) => {
      const { gate, tool, agents } = start()
      const call = chosen(agents, 'tool::send')
      gate.answer(last(gate.served), answer)
      expect(agents.code(call)).toBe('worker_unavailable')
      expect(tool.served).toEqual([])
    },
  )

  it('hears why a person denied it; what breaks inside the gate is only that it could not be asked', () => {
    const { gate, agents } = start()
    const fail = (code: string) => {
      const call = chosen(agents, 'tool::send')
      const { invocation_id } = last(gate.served)
      gate.tell({ type: 'invocationresult', invocation_id, error: { code, message: 'why' } })
      return agents.code(call)
    }
    expect(fail('approval_denied')).toBe('approval_denied')
    expect(fail('overloaded')).toBe('overloaded')
    expect(fail('invocation_failed')).toBe('worker_unavailable')
  })

  it('of a function that nobody has is not asked for', () => {
    const { gate, agents } = start()
    expect(agents.code(chosen(agents, 'Tool::Send'))).toBe('function_not_found')
    expect(gate.served).toEqual([])
  })

  it.each([400, 10_000])('is refused with a number that would be shown and sent as null (%i bytes)', (bytes) => {
    const { core, gate, tool, agents } = start()
    const data = `{"list":[{"amount":-1e400}],"filler":"${'x'.repeat(bytes)}"}`
    const id = randomUUID()
    const { parent } = servedFor(agents, agents)
    const head = `"type":"invokefunction","invocation_id":"${id}","function_id":"tool::send","parent":"${parent}","agent":"clerk"`
    core.receive(agents.connection, Buffer.from(`{${head},"data":${data}}`))
    expect(agents.result(id)!.error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('too large'),
    })
    expect([gate.served, tool.served]).toEqual([[], []])
  })

  it('is judged by what it says it really is, where a field says otherwise', () => {
    const { gate, agents } = start()
    const effectsOf = (data: object): unknown => {
      chosen(agents, 'tool::request', { data })
      return (last(gate.served).data as { effects: unknown }).effects
    }
    expect(effectsOf({ method: 'GET', headers: { accept: '*/*' } })).toBe('read')
    expect(effectsOf({ method: 'GET', headers: { 'x-http-method-OVERRIDE ': 'DELETE' } })).toBe('external')
    expect(effectsOf({ headers: { 'X-HTTP-Method-Override': 'GET' } })).toBe('external')
    expect(effectsOf({ method: 'GET', headers: 'none' })).toBe('read')
  })

  it('is sent as it was judged, whatever another reader would make of the bytes', () => {
    const { core, gate, tool, agents } = start()
    const filler = 'x'.repeat(10_000)
    const data = `{"method":"POST","n":1,"method":"GET","filler":"${filler}"}`
    const { parent } = servedFor(agents, agents)
    const head = `"type":"invokefunction","invocation_id":"${randomUUID()}","function_id":"tool::request","parent":"${parent}","agent":"clerk"`
    core.receive(agents.connection, Buffer.from(`{${head},"data":${data}}`))
    expect(last(gate.served).data).toMatchObject({ effects: 'read', input: { method: 'GET', n: 1 } })
    const call = [...agents.connection.calling.values()].at(-1)!
    gate.answer(last(gate.served), { allow: true })
    expect(JSON.stringify(call.request.payload)).not.toContain('POST')
    expect(last(tool.served).data).toMatchObject({ method: 'GET', n: 1 })
  })

  it('is cancelled together with the question', () => {
    const { gate, tool, agents } = start()
    const call = chosen(agents, 'tool::send')
    agents.tell({ type: 'cancelinvocation', invocation_id: call })
    expect(agents.code(call)).toBe('cancelled')
    expect(gate.cancelled(last(gate.served))).toBe(true)
    gate.answer(last(gate.served), { allow: true, requestId: 'approval-1' })
    expect(tool.served).toEqual([])
  })
})

describe('a call that its own worker can judge', () => {
  function started() {
    const parts = start()
    const call = chosen(parts.agents, 'tool::mail', { data: { to: 'x' } })
    const check = last(parts.tool.served)
    const fail = (code: string) =>
      parts.tool.tell({
        type: 'invocationresult',
        invocation_id: check.invocation_id,
        error: { code, message: 'Set SMTP_URL' },
      })
    return { ...parts, call, check, fail }
  }

  it('is judged first, with its input, in the name of the engine, and the gate is asked where it can be done', () => {
    const { gate, tool, agents, call, check } = started()
    expect(check).toMatchObject({ function_id: 'tool::check', data: { to: 'x' } })
    expect(check.context!.principal).toEqual({ kind: 'system', id: 'engine' })
    expect(gate.served).toEqual([])
    tool.answer(check, { ok: true })
    expect(last(gate.served).data).toMatchObject({ functionId: 'tool::mail', input: { to: 'x' } })
    gate.answer(last(gate.served), { allow: true, requestId: 'approval-1' })
    tool.answer(last(tool.served), 'sent')
    expect(tool.served.map(({ function_id }) => function_id)).toEqual(['tool::check', 'tool::mail'])
    expect(agents.result(call)).toMatchObject({ result: 'sent' })
  })

  it.each(['not_configured', 'invalid_input', 'not_found'])('ends with %s, and the gate is not asked', (code) => {
    const { gate, agents, call, fail } = started()
    fail(code)
    expect(agents.result(call)!.error).toMatchObject({ code, message: expect.stringContaining('Set SMTP_URL') })
    expect(gate.served).toEqual([])
  })

  it.each(['overloaded', 'worker_unavailable', 'invocation_failed'])(
    'is asked for as any other where nobody judged it: %s',
    (code) => {
      const { gate, agents, call, fail } = started()
      fail(code)
      gate.answer(last(gate.served), REFUSE)
      expect(agents.code(call)).toBe('approval_required')
    },
  )

  it('is cancelled together with the judgement', () => {
    const { gate, tool, agents, call, check } = started()
    agents.tell({ type: 'cancelinvocation', invocation_id: call })
    expect(agents.code(call)).toBe('cancelled')
    expect(tool.cancelled(check)).toBe(true)
    expect(gate.served).toEqual([])
  })

  it('is judged by a read of the same worker alone', () => {
    const other = installed('other', [{ id: 'other::send', effects: 'external', checked_by: 'tool::read' }])
    const workers = [installed('tool', FUNCTIONS), other]
    expect(() => startCore({ workers })).toThrow('other::send is checked by tool::read, which is no read of other')
  })
})

describe('a gate that is not there', () => {
  it('down: the call waits for it and then fails, and never goes on', () => {
    const { time, tool, agents, gate } = start({ gate: 'down' })
    const [patient, hurried] = [chosen(agents, 'tool::read'), chosen(agents, 'tool::send', { deadline_ms: 100 })]
    time.advance(100)
    expect(agents.code(hurried)).toBe('worker_unavailable')
    time.advance(20_000)
    expect(agents.code(patient)).toBe('worker_unavailable')
    expect(tool.served).toEqual([])
    const later = chosen(agents, 'tool::send')
    gate.register('approval::gate')
    gate.answer(last(gate.served), { allow: true })
    expect(tool.served).toHaveLength(1)
    expect(agents.code(later)).toBeUndefined()
  })

  it('that goes away or hangs while it is asked leaves the call refused', () => {
    const { time, tool, agents, gate } = start()
    const [lost] = [chosen(agents, 'tool::send')]
    gate.close()
    expect(agents.code(lost)).toBe('worker_unavailable')
    const hanging = start()
    const held = chosen(hanging.agents, 'tool::send')
    hanging.time.advance(30_000)
    expect(hanging.agents.code(held)).toBe('worker_unavailable')
    time.advance(1)
    expect([...tool.served, ...hanging.tool.served]).toEqual([])
  })

  it('not installed: what changes something outside is refused by name, the rest goes on', () => {
    const { tool, agents } = start({ gate: 'none' })
    const call = chosen(agents, 'tool::send')
    expect(agents.result(call)!.error).toMatchObject({
      code: 'worker_unavailable',
      message: expect.stringContaining('the worker approval'),
      details: { worker: 'approval', installed: false },
    })
    chosen(agents, 'tool::read')
    chosen(agents, 'tool::write')
    chosen(agents, 'tool::request')
    expect(tool.served.map(({ function_id }) => function_id)).toEqual(['tool::read', 'tool::write', 'tool::request'])
    expect(agents.code(chosen(agents, 'tool::request', { data: { method: 'POST' } }))).toBe('worker_unavailable')
  })

  it('twice is no installation', () => {
    const other = installed('other', [{ id: 'other::gate' }], { gate: 'other::gate' })
    expect(() => startCore({ workers: [gateWorker, other] })).toThrow('Both approval and other declare a gate')
  })
})

describe('below what a model chose', () => {
  /** A call of the tool that was let through, with or without a request. */
  function served(approval?: string) {
    const parts = start()
    const { gate, tool, agents } = parts
    chosen(agents, 'tool::write')
    gate.answer(last(gate.served), { allow: true, ...(approval ? { requestId: approval } : {}) })
    const parent = last(tool.served).invocation_id
    const asked = () => gate.served.length - 1
    return { ...parts, parent, asked }
  }

  it('only what changes something outside is asked for', () => {
    const { tool, parent, asked } = served()
    tool.call('tool::read', { parent })
    tool.call('tool::write', { parent })
    tool.call('engine::functions::list', { parent })
    tool.call('tool::request', { parent })
    expect(asked()).toBe(0)
    tool.call('tool::send', { parent })
    tool.call('tool::request', { parent, data: { method: 'get' } })
    expect(asked()).toBe(2)
  })

  it('an approval covers what is called under it, after the answer too, until a model chooses again', () => {
    const { tool, gate, agents, parent, asked } = served('approval-1')
    tool.call('tool::send', { parent })
    expect(asked()).toBe(0)
    const deeper = last(tool.served).invocation_id
    tool.call('tool::send', { parent: deeper })
    tool.call('engine::calls::detach', { parent, data: { invocation_id: parent, deadline_ms: 1_000 } })
    tool.answer(tool.served[0]!)
    tool.call('tool::send', { parent })
    expect(asked()).toBe(0)
    chosen(agents, 'tool::send')
    expect(asked()).toBe(1)
    agents.call('agents::run', { parent: last(agents.served).invocation_id })
    expect(gate.served).toHaveLength(2)
  })

  it('an approval covers nothing that only shares its trace', () => {
    const parts = start()
    const { gate, guest, agents } = parts
    const plain = guest()
    plain.register('plain::work')
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    chosen(agents, 'plain::work', servedFor(agents, plain, { traceparent }))
    gate.answer(last(gate.served), { allow: true, requestId: 'approval-1' })
    plain.call('plain::work', { traceparent })
    expect(gate.served).toHaveLength(2)
  })
})

describe('who is not asked about', () => {
  it('the owner, guests and workers for themselves', () => {
    const { gate, owner, guest, agents } = start()
    for (const peer of [owner(), guest(), agents]) peer.call('tool::send')
    expect(gate.served).toEqual([])
  })

  it('nobody asks the gate in the name of the engine, nor registers it', () => {
    const { gate, guest, agents } = start()
    const stranger = guest()
    stranger.register('approval::gate')
    expect(stranger.code(stranger.call('approval::gate'))).toBe('forbidden')
    expect(agents.code(chosen(agents, 'approval::gate'))).toBe('forbidden')
    agents.call('approval::gate')
    expect(last(gate.served).context!.principal).toEqual({ kind: 'system', id: 'agents' })
  })

  it('what a guest says of its own function is not believed', () => {
    const { core, gate, guest, agents } = start()
    const caller = guest()
    caller.register('plain::send', { metadata: { effects: 'read' } })
    chosen(agents, 'plain::send', servedFor(agents, caller))
    expect(last(gate.served).data).toMatchObject({ effects: 'external' })
    expect(core.calls.gate.effectsOf('plain::send', {})).toBe('external')
    expect(core.calls.gate.effectsOf('engine::workers::register', {})).toBe('write')
  })
})
