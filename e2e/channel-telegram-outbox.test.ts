import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buttonsOf, type Person, type TelegramChat } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  echo,
  expectHeard,
  fresh,
  heard,
  type Installation,
  install,
  member,
  type OutboxView,
  outbox,
  owner,
  stranger,
  WAIT,
} from './support/telegram.ts'

/** What of this chat stands in the outbox, in this state. */
async function outboxOf(at: Installation, person: Person, state: string): Promise<OutboxView[]> {
  const all = await outbox(at, state)
  return all.filter(({ conversation }) => conversation === String(person.id))
}

const inDoubt = (at: Installation, person: Person): Promise<OutboxView[]> => outboxOf(at, person, 'in_doubt')

/** Serves `approval::decide` until it is stopped, and keeps what it is told. */
async function decides(at: Installation): Promise<{ decided: unknown[]; stop(): Promise<void> }> {
  const decided: unknown[] = []
  const worker = at.system.client({ owner: true })
  const observer = at.system.client({ owner: true })
  const request = { function_id: 'engine::functions::list', payload: { prefix: 'approval::' } }
  const listed = async (): Promise<string> => JSON.stringify(await observer.trigger(request))
  worker.registerFunction('approval::decide', (input) => void decided.push(input))
  await worker.ready()
  const stop = async (): Promise<void> => {
    await worker.shutdown()
    await expect.poll(listed, WAIT).not.toContain('approval::decide')
  }
  return { decided, stop }
}

describe('what the bot sends', () => {
  let at: Installation
  beforeAll(async () => {
    // Answers go out whole: what is lost of one is then known.
    at = await install({ settings: { stream: false } })
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  describe('an approval', () => {
    let decider: Awaited<ReturnType<typeof decides>> | undefined
    afterEach(async () => {
      await decider?.stop()
      decider = undefined
    })

    const ask = (requestId: string, to: Person) =>
      at.system.client({ owner: true }).trigger<{ ids: string[] }>({
        function_id: 'channel::telegram::ask',
        payload: { requestId, text: 'May I delete the file?', to: String(to.id) },
      })

    it('is decided by an owner with a button; without the worker that decides, that is said', async () => {
      const chief = await member(at, 'owner')
      const requestId = fresh('req')
      await ask(requestId, chief)
      await ask(requestId, chief)
      await expectHeard(at, chief, ['May I delete the file?'])
      const question = at.telegram.sent(chief.id).at(-1)!
      expect(buttonsOf(question).map(({ text }) => text)).toEqual(['Approve', 'Deny'])
      const early = at.telegram.press(chief, question, 'Approve')
      await expect.poll(() => at.telegram.callbackAnswers.get(early), WAIT).toContain('"approval" is not running')

      decider = await decides(at)
      const press = at.telegram.press(chief, question, 'Approve')
      await expect.poll(() => at.telegram.callbackAnswers.get(press), WAIT).toBe('Approved by Member.')
      expect(decider.decided).toMatchObject([{ requestId, decision: 'approve' }])
      await expectHeard(at, chief, ['May I delete the file?\n\nApproved by Member.'])
      expect(buttonsOf(at.telegram.sent(chief.id).at(-1)!)).toEqual([])
    })

    it('is not decided by anybody else, nor by forged or moved buttons', async () => {
      decider = await decides(at)
      const [chief, other, user] = [await member(at, 'owner'), await member(at, 'owner'), await member(at)]
      const forger = stranger()
      const requestId = fresh('req')
      await ask(requestId, chief)
      await ask(fresh('req'), other)
      await expect.poll(() => [heard(at, chief).length, heard(at, other).length], WAIT).toEqual([1, 1])
      const question = at.telegram.sent(chief.id).at(-1)!
      const elsewhere = at.telegram.sent(other.id).at(-1)!
      const { callback_data: theirs } = buttonsOf(elsewhere)[0]!
      const presses = [
        at.telegram.press(user, question, 'Approve'),
        at.telegram.press(forger, question, 'Approve'),
        at.telegram.press(chief, question, 'Approve', theirs),
        at.telegram.press(chief, question, 'Approve', `approve:${requestId}`),
        at.telegram.press(chief, question, 'Approve', '__proto__|0'),
        at.telegram.press(chief, question, 'Approve', `${buttonsOf(question)[0]!.callback_data}7`),
      ]
      await expect.poll(() => presses.every((id) => at.telegram.callbackAnswers.has(id)), WAIT).toBe(true)
      expect(decider.decided).toEqual([])
    })
  })

  describe('a send whose answer is lost', () => {
    it('is in doubt, is not repeated, and is sent again when the chat asks for it', async () => {
      const person = await member(at)
      at.telegram.play('sendMessage', { kind: 'drop' })
      at.telegram.say(person, 'one')
      await expect.poll(() => heard(at, person).length, WAIT).toBe(2)
      expect(heard(at, person)[0]).toBe('re: one')
      const question = at.telegram.sent(person.id).at(-1)!
      expect(question.text).toContain('Did it arrive?')
      expect(await inDoubt(at, person)).toMatchObject([{ text: 're: one', reason: expect.stringContaining('failed') }])
      at.telegram.say(person, 'two')
      await expect.poll(() => heard(at, person).at(-1), WAIT).toBe('re: two')
      expect(heard(at, person).filter((text) => text === 're: one')).toHaveLength(1)
      at.telegram.press(person, question, 'Send it again')
      await expect.poll(() => heard(at, person).filter((text) => text === 're: one').length, WAIT).toBe(2)
      await expect.poll(() => inDoubt(at, person), WAIT).toEqual([])
    })

    it('that never had an effect is in doubt too, and the owner settles it', async () => {
      const person = await member(at)
      at.telegram.play('sendMessage', { kind: 'reset' })
      at.telegram.say(person, 'three')
      await expect.poll(async () => (await inDoubt(at, person)).length, WAIT).toBe(1)
      const [entry] = await inDoubt(at, person)
      const path = `/v1/channels/telegram/outbox/${encodeURIComponent(entry!.id)}`
      expect((await owner(at, 'POST', path, { as: 'received' })).body).toMatchObject({ state: 'sent' })
      expect((await owner(at, 'POST', path, { as: 'resend' })).status).toBe(409)
      expect(heard(at, person)).not.toContain('re: three')
    })

    it('with a server error is in doubt; one that Telegram put off with 429 is sent when it may be', async () => {
      const person = await member(at)
      at.telegram.play('sendMessage', { kind: 'refuse', code: 502 }, { kind: 'refuse', code: 429, retryAfter: 1 })
      at.telegram.say(person, 'four')
      // The question about the answer is what was put off.
      await expect.poll(() => heard(at, person).length, WAIT).toBe(1)
      expect(heard(at, person)[0]).toContain('Did it arrive?')
      const [entry] = await inDoubt(at, person)
      expect(entry).toMatchObject({ text: 're: four' })
      await owner(at, 'POST', `/v1/channels/telegram/outbox/${encodeURIComponent(entry!.id)}`, { as: 'resend' })
      await expect.poll(() => heard(at, person), WAIT).toContain('re: four')
    })

    it('is failed, not in doubt, where Telegram refused it for good', async () => {
      const person = await member(at)
      at.telegram.block(person.id)
      at.telegram.say(person, 'five')
      await expect
        .poll(() => outboxOf(at, person, 'failed'), WAIT)
        .toMatchObject([{ text: 're: five', reason: expect.stringContaining('blocked by the user') }])
    })
  })

  it('goes on when a webhook was set meanwhile, and when another poller pushes in', async () => {
    const person = await member(at)
    const api = (method: string, params: object) =>
      fetch(`${at.telegram.url}/bot${at.telegram.token}/${method}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(params),
      })
    await api('setWebhook', { url: 'http://127.0.0.1:9/elsewhere' })
    at.telegram.say(person, 'are you there?')
    await expectHeard(at, person, ['re: are you there?'])
    expect(at.telegram.updates.webhook).toBeUndefined()
    expect((await api('getUpdates', {})).status).toBe(200)
    await expect
      .poll(async () => (await owner<{ problem: string }>(at, 'GET', '/v1/channels/telegram')).body.problem, WAIT)
      .toContain('Another process')
    at.telegram.say(person, 'still there?')
    await expectHeard(at, person, ['re: are you there?', 're: still there?'])
  })

  it('sends what an agent or the owner wants sent, and an agent only to who is paired', async () => {
    const person = await member(at)
    const sent = await owner(at, 'POST', '/v1/channels/telegram/send', { to: String(person.id), text: '**Hi**' })
    expect(sent.status).toBe(200)
    await expectHeard(at, person, ['Hi'])
    const send = (to: number) =>
      at.system.client({ owner: true }).trigger({
        function_id: 'channel::telegram::send',
        payload: { to: String(to), text: 'from the agent' },
        agent: 'default',
      })
    await expect(send(stranger().id)).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('never shows its token: in logs, errors, traces, state or on disk', async () => {
    const person = await member(at)
    at.telegram.play('sendMessage', { kind: 'reset' })
    at.telegram.say(person, 'break')
    await expect.poll(async () => (await inDoubt(at, person)).length, WAIT).toBe(1)
    const [, secret] = at.telegram.token.split(':')
    expect(at.system.logs()).not.toContain(secret)
    const files = await readdir(at.system.dataDir, { recursive: true, withFileTypes: true })
    for (const file of files.filter((entry) => entry.isFile())) {
      const content = await readFile(join(file.parentPath, file.name), 'latin1')
      expect(content.includes(secret!), `the token is in ${file.name}`).toBe(false)
    }
  })

  it('broke no rule of the Bot API', () => {
    expect(at.telegram.violations).toEqual([])
  })
})

describe('the limits of Telegram', () => {
  it('are kept: one message a second in a chat, 20 a minute in a group, nothing is refused', async () => {
    const at = await install({
      telegram: { limits: {} },
      settings: { chat_interval_ms: undefined, group_interval_ms: undefined },
    })
    try {
      const send = (to: number, text: string) =>
        owner(at, 'POST', '/v1/channels/telegram/send', { to: String(to), text })
      const group: TelegramChat = { id: -100_778, type: 'supergroup', title: 'Crowd' }
      at.telegram.addChat(group)
      const people = Array.from({ length: 40 }, (_, index) => 20_000 + index)
      for (const id of people) at.telegram.addChat({ id, type: 'private' })
      await Promise.all(people.map((id) => send(id, 'to all')))
      for (const text of ['a', 'b', 'c']) {
        await send(people[0]!, text)
        await send(group.id, text)
      }
      await expect.poll(() => at.telegram.texts(people[0]!), WAIT).toEqual(['to all', 'a', 'b', 'c'])
      await expect.poll(() => at.telegram.texts(group.id), WAIT).toEqual(['a', 'b', 'c'])
      await expect.poll(() => people.every((id) => at.telegram.texts(id)[0] === 'to all'), WAIT).toBe(true)
      expect(at.telegram.callsOf('sendMessage').filter(({ status }) => status !== 200)).toEqual([])
    } finally {
      await at.stop()
    }
  })
})
