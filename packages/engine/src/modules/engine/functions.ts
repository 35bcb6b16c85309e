import type { Connection, WorkerMetadata } from '../../core/connection.ts'
import type { Core } from '../../core/core.ts'
import { type ConnectionView, Directory, type FunctionView, seenBy } from '../../core/directory.ts'
import type { BuiltinCall, EngineModule, TriggerBinding } from '../../core/module.ts'
import { isReachedFrom } from '../../core/place.ts'
import { ANSWER_BYTES, allWithin } from '../answer-size.ts'
import { guarded } from '../serve.ts'

type Input = Record<string, unknown>

/** `engine::*`: what is registered and who is there, and a worker's own registration. */
export function createEngineModule(core: Core, maxAnswerBytes = ANSWER_BYTES): EngineModule {
  const directory = new Directory(core)
  return {
    name: 'engine',
    start(host) {
      const read = (
        id: string,
        summary: string,
        properties: Record<string, unknown>,
        answer: (input: Input, call: BuiltinCall) => unknown,
      ): void =>
        host.registerFunction({
          id,
          summary,
          effects: 'read',
          idempotent: true,
          request_format: { type: 'object', properties },
          handle(call) {
            const input = objectInput(call)
            if (!input) return
            guarded(host, call, () => {
              const result = answer(input, call)
              if (result !== undefined) call.reply(result)
            })
          },
        })

      /** A list that is served whole, or refused where it is too large: `fields` ask for a part of it. */
      const whole = <T>(rows: T[], what: string, fields: string): T[] =>
        allWithin(rows, maxAnswerBytes, what, `ask for a part of them: ${fields}`)
      const filters = {
        search: { type: 'string' },
        prefix: { type: 'string' },
        worker: { type: 'string' },
        include_internal: { type: 'boolean' },
      }
      // A version says all that the list depends on, and is no other engine's or realm's.
      const era = host.ports.ids.hex(8)
      let changes = 0
      // A realm's own: what somebody changes in one has nobody read the list of another anew.
      const inRealm = new Map<string, number>()
      core.onEvent((event) => {
        const realm = event.type === 'functions_changed' ? event.realm : realmOf(event.connection)
        if (realm === undefined) changes += 1
        else if (event.type === 'functions_changed' || event.connection.functions.size > 0) {
          inRealm.set(realm, (inRealm.get(realm) ?? 0) + 1)
        }
      })
      const listFilters = { ...filters, since: { type: 'string' } }
      read('engine::functions::list', 'List the functions that can be called', listFilters, (input, call) => {
        const version = `${era}.${changes}.${inRealm.get(call.context.realm) ?? 0}.${call.context.realm}`
        if (input.since === version) return { version, unchanged: true }
        const functions = directory
          .functions(call.context.realm)
          .filter((view) => isListed(view, input) && mayUse(view, call))
          .map((view) => functionRow(view, directory, call.context.realm))
        whole(functions, 'All functions', 'engine::functions::list {prefix, worker, search}')
        // Only who keeps the list is told its version: others get the protocol's answer.
        return typeof input.since === 'string' ? { functions, version } : { functions }
      })
      read('engine::functions::info', 'Describe one function', { function_id: { type: 'string' } }, (input, call) => {
        const id = text(input, 'function_id', call)
        if (id === undefined) return undefined
        const { realm } = call.context
        const view = directory.function(id, realm)
        if (!view) return void call.fail('NOT_FOUND', `Function ${id} not found`)
        const row = functionRow(view, directory, realm)
        return {
          function_id: row.function_id,
          worker_name: row.worker_name,
          ...(row.description === null ? {} : { description: row.description }),
          ...(row.metadata === null ? {} : { metadata: row.metadata }),
          ...(row.request_format === null ? {} : { request_schema: row.request_format }),
          ...(row.response_format === null ? {} : { response_schema: row.response_format }),
          registered_triggers: directory
            .triggers(realm)
            .filter((trigger) => trigger.function_id === row.function_id)
            .map(({ id, trigger_type, config }) => ({ id, trigger_type, config })),
        }
      })
      // Judged as the gate judges it: what nobody installed described counts as external.
      read(
        'engine::functions::effects',
        'Say what a call with this input does to the world',
        { function_id: { type: 'string' }, input: {} },
        (input, call) => {
          const id = text(input, 'function_id', call)
          return id === undefined ? undefined : { effects: core.calls.gate.effectsOf(id, input.input) }
        },
      )
      read('engine::workers::list', 'List the workers and their state', WORKER_FILTERS, (input, call) => ({
        workers: whole(
          directory
            .workers(call.context.realm)
            .filter((view) => input.worker_id === undefined || view.id === input.worker_id)
            .map((view) => workerRow(seenBy(view, call.context)))
            .filter((row) => input.runtime === undefined || row.runtime === input.runtime)
            // Clients of the protocol expect processes; who is not connected is listed where that is asked for.
            .filter((row) => row.status === (input.status ?? 'connected')),
          'All workers',
          'engine::workers::list {worker_id, status, runtime}',
        ),
        timestamp: host.ports.clock.now(),
      }))
      // Types and instances in one list: the two client generations mean different things by this id.
      read(
        'engine::triggers::list',
        'List trigger types and bound triggers',
        filters,
        (input, { context: { realm } }) => ({
          triggers: whole<object>(
            [
              ...directory
                .triggerTypes(realm)
                .map(({ id, worker_name, description }) => ({ id, worker_name, description })),
              ...directory
                .triggers(realm)
                .filter((row) => input.include_internal === true || !isInternal(row.function_id)),
            ],
            'All trigger types and triggers',
            'engine::registered-triggers::list {trigger_type, function_id}, engine::trigger-types::list {prefix}',
          ),
        }),
      )
      read('engine::trigger-types::list', 'List trigger types', { prefix: { type: 'string' } }, (input, call) => ({
        trigger_types: whole(
          directory
            .triggerTypes(call.context.realm)
            .filter(({ id }) => typeof input.prefix !== 'string' || id.startsWith(input.prefix))
            .map((type) => ({
              id: type.id,
              description: type.description,
              ...(type.configFormat === undefined ? {} : { trigger_request_format: type.configFormat }),
              ...(type.payloadFormat === undefined ? {} : { call_request_format: type.payloadFormat }),
            })),
          'All trigger types',
          'engine::trigger-types::list {prefix}',
        ),
      }))
      read('engine::registered-triggers::list', 'List bound triggers', filters, (input, call) => ({
        registered_triggers: whole(
          directory
            .triggers(call.context.realm)
            .filter((row) => input.trigger_type === undefined || row.trigger_type === input.trigger_type)
            .filter((row) => input.function_id === undefined || row.function_id === input.function_id)
            .map((row) => ({ ...row, config_summary: summarise(row.config) })),
          'All bound triggers',
          'engine::registered-triggers::list {trigger_type, function_id}',
        ),
      }))

      host.registerFunction({
        id: 'engine::workers::register',
        summary: 'A worker tells of itself; sent by every SDK after it connects',
        effects: 'write',
        idempotent: true,
        handle(call) {
          const input = objectInput(call)
          if (!input) return
          const connection = core.connections.get(call.caller.workerId ?? '')
          if (!connection) return call.fail('INVALID_ARGUMENTS', 'Only a worker on a socket can register itself')
          connection.metadata = metadataOf(input)
          if (Array.isArray(input.features)) {
            connection.features = new Set(input.features.filter((feature) => typeof feature === 'string'))
          }
          if (typeof input.instance === 'string') connection.instance = input.instance
          if (typeof input.group === 'string') connection.group = input.group
          const { metadata, grant } = connection
          if (metadata.pid !== undefined && grant.worker) core.supervision.connected(grant.worker, metadata.pid)
          core.emit({ type: 'worker_metadata_updated', connection })
          call.reply({ success: true })
        },
      })
      host.registerFunction({
        id: 'engine::workers::problem',
        summary: 'A worker says what does not work in it, for those who look at the workers; null takes it back',
        effects: 'write',
        idempotent: true,
        request_format: {
          type: 'object',
          required: ['problem'],
          properties: { problem: { type: ['string', 'null'] } },
        },
        handle(call) {
          const input = objectInput(call)
          if (!input) return
          const connection = core.connections.get(call.caller.workerId ?? '')
          if (!connection?.grant.worker) return call.fail('forbidden', 'Only an installed worker speaks of itself')
          const { problem } = input
          connection.problem = typeof problem === 'string' && problem !== '' ? problem.slice(0, MAX_PROBLEM) : undefined
          call.reply({ noted: true })
        },
      })
      host.registerFunction({
        id: 'engine::workers::restart',
        summary: 'Start an installed worker anew, also one that is held or asleep; or the engine',
        effects: 'write',
        idempotent: true,
        access: 'owner',
        request_format: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
        handle(call) {
          const input = objectInput(call)
          if (!input) return
          const name = text(input, 'name', call)
          if (name === undefined) return
          if (name !== 'engine' && !core.catalogue.workers.has(name)) {
            return call.fail('NOT_FOUND', `No worker ${name} is installed`)
          }
          core.supervision.restart(name)
          call.reply({ restarting: name })
        },
      })
      host.registerFunction({
        id: 'engine::workers::kill',
        summary: 'End the processes of an installed worker as a crash would, to see what goes on without them',
        effects: 'write',
        access: 'owner',
        http: [{ method: 'POST', path: '/v1/workers/:name/kill', status: 200, raw: false, stream: false }],
        request_format: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
        handle(call) {
          const input = objectInput(call)
          if (!input) return
          const name = text(input, 'name', call)
          if (name === undefined) return
          if (!core.catalogue.workers.has(name)) return call.fail('NOT_FOUND', `No worker ${name} is installed`)
          core.supervision.kill(name)
          const { principal, traceId } = call.context
          host.ports.log.warn({ worker: name, principal, traceId }, 'A worker is killed at its owner’s wish')
          call.reply({ killed: name })
        },
      })
      host.registerFunction({
        id: 'engine::calls::detach',
        summary: 'Keep the context of a call for work that goes on after its answer',
        effects: 'write',
        idempotent: true,
        handle(call) {
          const input = objectInput(call)
          if (!input) return
          const id = text(input, 'invocation_id', call)
          if (id === undefined) return
          const connection = core.connections.get(call.caller.workerId ?? '')
          const served = connection?.serving.get(id)
          if (!served) return call.fail('not_found', 'The call to detach from is not in flight on this connection')
          served.detachMs = Math.min(Number(input.deadline_ms) || 0, MAX_DETACH_MS)
          call.reply({ detached: true })
        },
      })
      registerAvailability(core, directory)
    },
  }
}

/** The realm that alone reaches what this connection has; nothing where all do. */
function realmOf({ grant: { worker, realm } }: Connection): string | undefined {
  return worker === undefined ? realm : undefined
}

const WORKER_FILTERS = {
  worker_id: { type: 'string' },
  status: {
    enum: ['connected', 'down', 'asleep', 'starting', 'restarting', 'held', 'unbuilt', 'silent'],
    default: 'connected',
  },
}
/** Characters of what a worker says of itself. */
const MAX_PROBLEM = 500
const MAX_DETACH_MS = 24 * 60 * 60 * 1000
const FUNCTIONS_POLL_MS = 5_000

/** `engine::functions-available` and `engine::workers-available`. */
function registerAvailability(core: Core, directory: Directory): void {
  const bindings = { functions: new Set<TriggerBinding>(), workers: new Set<TriggerBinding>() }
  const fire = (triggers: Iterable<TriggerBinding>, valueIn: (realm: string) => unknown): void => {
    // Written once for each realm: a list may have megabytes, and many wait for it.
    const written = new Map<string, Buffer>()
    for (const trigger of triggers) {
      const { realm } = trigger.grant
      const json = written.get(realm) ?? Buffer.from(JSON.stringify(valueIn(realm)))
      written.set(realm, json)
      core.invoke({
        functionId: trigger.functionId,
        payload: { json },
        context: core.contextFor(trigger),
        trigger: trigger.type,
        ...(trigger.metadata === undefined ? {} : { metadata: trigger.metadata }),
        onResult: () => {},
      })
    }
  }
  for (const [kind, id] of [
    ['functions', 'engine::functions-available'],
    ['workers', 'engine::workers-available'],
  ] as const) {
    core.registerTriggerType({
      id,
      description: `Fires when the set of ${kind} changes`,
      bind: (trigger) => void bindings[kind].add(trigger),
      unbind: (trigger) => void bindings[kind].delete(trigger),
    })
  }
  let scheduled = false
  core.onEvent((event) => {
    if (event.type !== 'functions_changed') {
      // As in the lists: who is connected in another realm is nobody's business.
      const reached = [...bindings.workers].filter(({ grant }) => isReachedFrom(grant.realm, event.connection))
      fire(reached, () => ({ event: event.type, worker_id: event.connection.id }))
      return
    }
    // Many registrations in a burst are one change.
    if (scheduled || bindings.functions.size === 0) return
    scheduled = true
    core.ports.timers.set(FUNCTIONS_POLL_MS, () => {
      scheduled = false
      fire(bindings.functions, (realm) => ({
        event: 'functions_changed',
        functions: directory.functions(realm).map((view) => functionRow(view, directory, realm)),
      }))
    })
  })
}

function objectInput(call: BuiltinCall): Input | undefined {
  const input = call.input ?? {}
  if (typeof input === 'object' && !Array.isArray(input)) return input as Input
  call.fail('deserialization_error', `Failed to deserialize input for ${call.functionId}: expected an object`)
  return undefined
}

/** A required text; `undefined` where the call was failed. */
function text(input: Input, name: string, call: BuiltinCall): string | undefined {
  const value = input[name]
  if (typeof value === 'string') return value
  call.fail('deserialization_error', `Failed to deserialize input for ${call.functionId}: ${name} is not a string`)
  return undefined
}

/** Left out of lists unless they are asked for; queues are what clients look at themselves. */
function isInternal(functionId: string): boolean {
  return functionId.startsWith('engine::') && !functionId.startsWith('engine::queue::')
}

function isListed(view: FunctionView, input: Input): boolean {
  if (input.include_internal !== true && isInternal(view.id)) return false
  if (typeof input.prefix === 'string' && !view.id.startsWith(input.prefix)) return false
  if (typeof input.worker === 'string' && view.worker !== input.worker) return false
  if (typeof input.search !== 'string' || input.search === '') return true
  const needle = input.search.toLowerCase()
  return view.id.toLowerCase().includes(needle) || view.summary.toLowerCase().includes(needle)
}

/** What only the owner may call is not shown to what a model chose. */
function mayUse(view: FunctionView, call: BuiltinCall): boolean {
  return call.context.principal.kind !== 'agent' || view.access !== 'owner'
}

/** A row of `engine::functions::list`: the union of what both client generations read. */
function functionRow(view: FunctionView, directory: Directory, realm: string) {
  const { effects, idempotent, tool, access } = view
  const foreign = directory.foreignMetadata(view.id, realm)
  return {
    function_id: view.id,
    worker_name: view.worker,
    installed: view.installed,
    description: view.summary || null,
    request_format: view.request_format,
    response_format: view.response_format,
    metadata: foreign === undefined ? { effects, idempotent, tool, access } : foreign,
  }
}

/** A row of `engine::workers::list`, likewise. */
function workerRow(view: ConnectionView) {
  return {
    id: view.id,
    name: view.name,
    description: view.description,
    runtime: view.runtime,
    version: view.version,
    os: view.os,
    pid: view.pid,
    ip_address: view.address,
    internal: false,
    status: view.status === 'up' ? 'connected' : view.status,
    connected_at_ms: view.connectedAt,
    function_count: view.functions.length,
    functions: view.functions,
    active_invocations: view.inFlight,
    ...(view.problems.length === 0 ? {} : { problems: view.problems }),
    latest_metrics: null,
    isolation: view.isolation,
    ...(view.problems.length === 0 ? {} : { problems: view.problems }),
  }
}

function summarise(config: unknown): string {
  const text = JSON.stringify(config ?? {})
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function metadataOf(input: Input): WorkerMetadata {
  const metadata: WorkerMetadata = {}
  for (const key of ['name', 'description', 'runtime', 'version', 'os', 'isolation'] as const) {
    const value = input[key]
    if (typeof value === 'string') metadata[key] = value.slice(0, 280)
  }
  if (typeof input.pid === 'number') metadata.pid = input.pid
  if (input.telemetry !== undefined) metadata.telemetry = input.telemetry
  return metadata
}
