import { type Caller, InvocationError } from '@agentos/sdk'

/**
 * Stores an event of the service for its function (a `durable:subscriber` of the topic, FIFO by `lane`); on disk when this
 * resolves, so that the service may be told. The same event is stored once within a day, whatever it says the second time.
 * `self` calls on the worker's own behalf: whoever delivered the event is nobody to the system.
 */
export async function store(
  self: Caller,
  topic: string,
  eventId: string,
  data: { lane: string; event: unknown },
): Promise<void> {
  try {
    await self.trigger({
      function_id: 'iii::durable::publish',
      payload: { topic, data },
      idempotencyKey: eventId,
    })
  } catch (error) {
    if (error instanceof InvocationError && error.code === 'key_reused') return
    throw error
  }
}
