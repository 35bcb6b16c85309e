import type { DurableContext } from '@agentos/sdk'
import type { SessionQueue } from './session-queue.ts'

/**
 * The turn of one chat in its session. It is taken where the chat does something new: what its run has recorded, or began
 * before it stood still, needs none. So nothing holds up an approved call, and who only replays or follows a run waits
 * for nobody.
 */
export class SessionTurn {
  private readonly queue: SessionQueue
  private readonly session: string
  private readonly ctx: Pick<DurableContext, 'following' | 'replaying' | 'signal'>
  /** It had a turn in another attempt, and has done things since: it does not give up now. */
  private isResumed = false
  private leaveSession: (() => void) | undefined

  constructor(queue: SessionQueue, session: string, ctx: SessionTurn['ctx']) {
    this.queue = queue
    this.session = session
    this.ctx = ctx
  }

  /**
   * Before each thing that may be new. Throws `session_busy` where a chat that has done nothing yet waited for too long;
   * one that goes on waits as long as its run may, and throws `cancelled` then.
   */
  async take(): Promise<void> {
    const { ctx } = this
    if (this.leaveSession || ctx.following) return
    if (ctx.replaying) this.isResumed = true
    else this.leaveSession = await this.queue.enter(this.session, ctx.signal, { patient: this.isResumed })
  }

  leave(): void {
    this.leaveSession?.()
    this.leaveSession = undefined
  }
}
