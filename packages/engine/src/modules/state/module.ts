import type { EngineModule, ModuleHost } from '../../core/module.ts'
import { ANSWER_BYTES } from '../answer-size.ts'
import { ANY, arrayOf, BOOLEAN, integer, object, oneOf, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'
import { StateEvents } from './events.ts'
import { StateReads } from './reads.ts'
import { Scopes } from './scopes.ts'
import { OP_TYPES } from './update-op.ts'
import { StateWrites } from './writes.ts'

export interface StateModuleOptions {
  /** Bytes of one value as JSON; past it `VALUE_TOO_LARGE`. @default 4 MiB */
  maxValueBytes?: number
  /** Values that `state::list` returns at once. @default 10000 */
  maxListed?: number
  /** Bytes of an answer that grows with what is stored; pages end there, and a list is refused. @default 8 MiB */
  maxAnswerBytes?: number
  /** How long a function bound to a `state` trigger may take. @default 5 minutes */
  triggerDeadlineMs?: number
}

const TARGET = { scope: STRING, key: STRING }
const WRITE = { 'expectedVersion?': integer(0), 'expected_version?': integer(0), 'relaxed?': BOOLEAN }
const LIFETIME = { 'ttlMs?': integer(1), 'ttl_ms?': integer(1) }
const WRITTEN = object({ old_value: ANY, new_value: ANY, 'version?': integer(1) })
const CHANGE = object({ ...TARGET, 'value?': ANY, deleted: BOOLEAN, version: integer(0), seq: integer(0) })
const OP = object({ type: oneOf(...OP_TYPES), 'path?': ANY, 'value?': ANY, 'by?': { type: 'integer' } })

/**
 * Scope, key, value, one partition of the store for each scope of each realm. A write is durable before it is answered,
 * except where it asks to be `relaxed`: that one is lost if the engine dies within the next 50 ms. The record of a write's
 * idempotency key is in the same batch, so that a write may be sent again under its key whatever became of the first.
 */
export function createStateModule(options: StateModuleOptions = {}): EngineModule {
  return {
    name: 'state',
    start(host: ModuleHost): void {
      const events = new StateEvents(host, { deadlineMs: options.triggerDeadlineMs ?? 300_000 })
      const scopes = new Scopes(host)
      const { maxListed = 10_000, maxAnswerBytes = ANSWER_BYTES } = options
      const reads = new StateReads({ host, scopes, maxListed, maxAnswerBytes })
      const maxValueBytes = options.maxValueBytes ?? 4 * 1024 * 1024
      const writes = new StateWrites({ host, scopes, events, maxValueBytes })
      host.registerTriggerType(events)
      serve(
        host,
        {
          id: 'state::set',
          summary: 'Write a value under a scope and key',
          effects: 'write',
          keyed: true,
          request_format: object({ ...TARGET, value: ANY, ...WRITE, ...LIFETIME }),
          response_format: WRITTEN,
        },
        (input, call) => writes.set(input, call),
      )
      serve(
        host,
        {
          id: 'state::get',
          summary: 'Read the value under a scope and key',
          effects: 'read',
          idempotent: true,
          request_format: object(TARGET),
        },
        (input, call) => reads.get(input, call),
      )
      serve(
        host,
        {
          id: 'state::delete',
          summary: 'Delete the value under a scope and key, and return it',
          effects: 'write',
          keyed: true,
          request_format: object({ ...TARGET, ...WRITE }),
        },
        (input, call) => writes.delete(input, call),
      )
      serve(
        host,
        {
          id: 'state::update',
          summary: 'Change a value in place by a list of operations, at once for all',
          effects: 'write',
          keyed: true,
          request_format: object({ ...TARGET, ops: arrayOf(OP), ...WRITE, ...LIFETIME }),
          response_format: WRITTEN,
        },
        (input, call) => writes.update(input, call),
      )
      // Not among what is listed: it is for workers and their own scopes, and no function that an agent is granted.
      serve(
        host,
        {
          id: 'engine::state::write',
          summary:
            'Several writes of a worker in one call: one after the other up to the first that fails, or all or none',
          effects: 'write',
          keyed: true,
          access: 'agent',
          request_format: object({
            'atomic?': BOOLEAN,
            writes: arrayOf(
              object({
                'type?': oneOf('set', 'update'),
                ...TARGET,
                'value?': ANY,
                'ops?': arrayOf(OP),
                ...WRITE,
                'ttlMs?': integer(1),
              }),
            ),
          }),
          response_format: object({ versions: arrayOf(ANY) }),
        },
        (input, call) => (input.optionalBoolean('atomic') ? writes.atomic(input, call) : writes.inOrder(input, call)),
      )
      serve(
        host,
        {
          id: 'state::list',
          summary: 'All values of a scope',
          effects: 'read',
          idempotent: true,
          request_format: object({ scope: STRING }),
          response_format: arrayOf(ANY),
        },
        (input, call) => reads.list(input, call),
      )
      serve(
        host,
        {
          id: 'state::list_groups',
          summary: 'Scopes that hold something',
          effects: 'read',
          idempotent: true,
          request_format: object({}),
          response_format: object({ groups: arrayOf(STRING) }),
        },
        (input, call) => reads.listGroups(input, call),
      )
      serve(
        host,
        {
          id: 'state::entries',
          summary: 'Keys and values of a scope, page by page',
          effects: 'read',
          idempotent: true,
          request_format: object({ scope: STRING, 'prefix?': STRING, 'after?': STRING, 'limit?': integer(1, 1_000) }),
          response_format: object({
            entries: arrayOf(object({ key: STRING, value: ANY, version: integer(1) })),
            'next?': STRING,
          }),
        },
        (input, call) => reads.entries(input, call),
      )
      serve(
        host,
        {
          id: 'state::changes',
          summary: 'What changed in the scopes of this realm since a sequence, for rebuilding an index',
          effects: 'read',
          idempotent: true,
          request_format: object({ 'scopes_prefix?': STRING, 'after?': integer(0), 'limit?': integer(1, 1_000) }),
          response_format: object({ changes: arrayOf(CHANGE), next: integer(0) }),
        },
        (input, call) => reads.changes(input, call),
      )
    },
  }
}
