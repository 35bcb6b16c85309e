import type {
  RegisterFunctionFrame,
  RegisterServiceFrame,
  RegisterTriggerFrame,
  RegisterTriggerTypeFrame,
} from '@agentos/protocol'

/** What this process has registered, kept so that a new connection can be told the same with the same ids. */
export class Registrations {
  readonly triggerTypes = new Map<string, RegisterTriggerTypeFrame>()
  readonly services = new Map<string, RegisterServiceFrame>()
  readonly functions = new Map<string, RegisterFunctionFrame>()
  readonly triggers = new Map<string, RegisterTriggerFrame>()

  /** All frames, in the order that the protocol wants: what is referred to comes first. */
  replay(): object[] {
    return [
      ...this.triggerTypes.values(),
      ...this.services.values(),
      ...this.functions.values(),
      ...this.triggers.values(),
    ]
  }
}
