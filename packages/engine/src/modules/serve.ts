import { EngineError } from '@agentos/protocol'
import type { BuiltinCall, BuiltinFunction, ModuleHost } from '../core/module.ts'
import { Input } from './input.ts'

/** Registers a function of the engine whose handler gets its input through a checked reader. */
export function serve(
  host: ModuleHost,
  fn: Omit<BuiltinFunction, 'handle'>,
  handle: (input: Input, call: BuiltinCall) => void,
): void {
  host.registerFunction({
    ...fn,
    handle: (call) => guarded(host, call, () => handle(new Input(call.functionId, call.input), call)),
  })
}

/** Runs a part of a handler; what it throws is the call's answer. For handlers that go on in a callback. */
export function guarded(host: ModuleHost, call: BuiltinCall, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (error instanceof EngineError) return call.fail(error.code, error.message, error.details)
    host.ports.log.error({ err: error, function_id: call.functionId }, 'A function of the engine failed')
    call.fail('internal', error instanceof Error ? error.message : String(error))
  }
}
