import type { RegisterTriggerFrame, TriggerRegistrationResultFrame, UnregisterTriggerFrame } from '@agentos/protocol'
import type { TriggerConfig, TriggerHandler } from './api.ts'

/** The trigger types that this process provides, and what is bound to them: the engine names only the id at the end. */
export class ProvidedTriggerTypes {
  private readonly handlers = new Map<string, TriggerHandler>()
  private readonly bindings = new Map<string, { type: string; config: TriggerConfig }>()

  provide(id: string, handler: TriggerHandler): void {
    this.handlers.set(id, handler)
  }

  withdraw(id: string): void {
    this.handlers.delete(id)
    for (const [bindingId, { type }] of [...this.bindings]) if (type === id) this.bindings.delete(bindingId)
  }

  /** Binds, and answers what the engine wants to hear. The same id again replaces, as after a reconnect. */
  async bind(frame: RegisterTriggerFrame): Promise<TriggerRegistrationResultFrame> {
    const { id, trigger_type, function_id } = frame
    const result: TriggerRegistrationResultFrame = { type: 'triggerregistrationresult', id, trigger_type, function_id }
    const handler = this.handlers.get(trigger_type)
    if (!handler) {
      const message = `The trigger type ${trigger_type} is not provided by this worker`
      return { ...result, error: { code: 'trigger_type_not_found', message } }
    }
    const config: TriggerConfig = {
      id,
      function_id,
      config: frame.config,
      ...(frame.metadata === undefined ? {} : { metadata: frame.metadata }),
    }
    try {
      await this.release(id)
      await handler.registerTrigger(config)
      this.bindings.set(id, { type: trigger_type, config })
      return result
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return { ...result, error: { code: 'trigger_registration_failed', message } }
    }
  }

  async unbind(frame: UnregisterTriggerFrame): Promise<void> {
    await this.release(frame.id)
  }

  private async release(id: string): Promise<void> {
    const binding = this.bindings.get(id)
    if (!binding) return
    this.bindings.delete(id)
    await this.handlers.get(binding.type)?.unregisterTrigger(binding.config)
  }
}
