import type { Request } from '@agentos/contracts/approval'
import { type SmtpSimulator, type System, startSmtpSimulator, startSystem } from '@agentos/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

const LETTER = { to: 'you@example.com', subject: 'Hello', text: 'From an agent.' }
const OWNER = { owner: true }

describe('what cannot be done', () => {
  let system: System
  let mails: SmtpSimulator | undefined
  afterEach(async () => {
    await system?.stop()
    await mails?.close()
    mails = undefined
  })

  async function start(toolbox: Record<string, string> = {}): Promise<void> {
    system = await startSystem({
      workers: [...ALL_WORKERS, 'channel-telegram'],
      env: NO_LOCAL_MODELS,
      workerEnv: { toolbox },
    })
    const clerk = { id: 'clerk', name: 'Clerk', capabilities: { functions: ['*'] } }
    expect((await system.api('POST', '/v1/agents', clerk, OWNER)).status).toBe(201)
  }

  /** Has the agent make a call; what became of it. */
  async function call(functionId: string, input: object): Promise<ChatReply> {
    const message = `Call ${functionId} with ${JSON.stringify(input)}`
    return (await system.api<ChatReply>('POST', '/v1/chat', { message, agentId: 'clerk' }, OWNER)).body
  }
  const requests = async () => (await system.api<Request[]>('GET', '/v1/approvals', undefined, OWNER)).body

  it.each([
    ['fn::email_send', LETTER, 'Mail needs SMTP_URL and MAIL_FROM in .env'],
    ['channel::telegram::send', { to: '7', text: 'Hello' }, 'Set TELEGRAM_BOT_TOKEN in .env'],
  ])('for want of a setting is said at once, and nobody is asked to approve it: %s', async (id, input, advice) => {
    await start()
    const { toolCalls } = await call(id, input)
    expect(toolCalls).toMatchObject([{ id, ok: false, error: { code: 'not_configured' } }])
    expect(toolCalls[0]!.error!.message).toContain(advice)
    expect(await requests()).toEqual([])
  })

  it('by its input is refused at once too, and what can be done is asked for as before', async () => {
    mails = await startSmtpSimulator()
    await start({ SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' })
    for (const [input, code] of [
      [{ draftId: 'draft-nobodys' }, 'not_found'],
      [{ ...LETTER, to: 'nobody' }, 'invalid_input'],
      [{ to: LETTER.to }, 'invalid_input'],
    ] as const) {
      expect((await call('fn::email_send', input)).toolCalls).toMatchObject([{ ok: false, error: { code } }])
    }
    expect(await requests()).toEqual([])
    expect(await call('fn::email_send', LETTER)).toMatchObject({ stopReason: 'waiting' })
    expect(await requests()).toMatchObject([{ toolName: 'fn::email_send', status: 'pending', params: LETTER }])
    expect(mails.connections).toBe(0)
  })
})
