import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buttonsOf, type Person, type SmtpSimulator, startSmtpSimulator, type TelegramChat } from '@agentos/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  ADA,
  asked,
  BOB,
  EVE,
  echo,
  except,
  expectTexts,
  type Installation,
  install,
  lastSaid,
  outbox,
  WEBHOOK_SECRET,
} from './support/telegram.ts'

const WAIT = { timeout: 20_000 }
let lastPerson = 5_000

/** Somebody nobody has seen before. */
function stranger(first_name = 'Stranger'): Person {
  lastPerson += 1
  return { id: lastPerson, first_name }
}

/** Somebody who was let in. */
async function member(at: Installation, role: 'user' | 'owner' = 'user'): Promise<Person> {
  const person = stranger('Member')
  at.telegram.say(person, 'hello?')
  await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(1)
  const [, code] = /code is (\S+)\./.exec(at.telegram.texts(person.id)[0]!)!
  const { status } = await owner(at, 'POST', '/v1/channels/telegram/pairings', { code, role })
  expect(status).toBe(200)
  await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(2)
  return person
}

function owner<T = unknown>(at: Installation, method: string, path: string, body?: unknown) {
  return at.system.api<T>(method, path, body, { owner: true })
}

/** What the bot said to somebody after their pairing. */
function heard(at: Installation, person: Person): string[] {
  return at.telegram.texts(person.id).slice(2)
}

async function expectHeard(at: Installation, person: Person, texts: string[]): Promise<void> {
  await expect.poll(() => heard(at, person), WAIT).toEqual(texts)
}

describe('a bot that asks for its updates', () => {
  let at: Installation
  beforeAll(async () => {
    at = await install()
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  it('answers who is let in, in order within each of three chats that write at once', async () => {
    const people = [ADA, BOB, EVE]
    for (let n = 1; n <= 5; n++) for (const person of people) at.telegram.say(person, `${person.first_name} ${n}`)
    for (const person of people) {
      await expectTexts(
        at,
        person.id,
        [1, 2, 3, 4, 5].map((n) => `re: ${person.first_name} ${n}`),
      )
    }
    expect(at.telegram.violations).toEqual([])
  })

  it('keeps the conversation in one session of its chat', async () => {
    const person = await member(at)
    at.telegram.say(person, 'my ship is the Nautilus')
    at.telegram.say(person, 'what is it called?')
    await expectHeard(at, person, ['re: my ship is the Nautilus', 're: what is it called?'])
    expect(JSON.stringify(at.model.requests.at(-1)!.body)).toContain('my ship is the Nautilus')
  })

  describe('for somebody unknown', () => {
    it('gives a pairing code once, reaches no agent, and lets in who the owner approves', async () => {
      const person = stranger('Zoe')
      at.telegram.say(person, 'let me in')
      at.telegram.say(person, 'please')
      at.telegram.say(person, '/agent default')
      await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(1)
      const [, code] = /code is (\S+)\./.exec(at.telegram.texts(person.id)[0]!)!
      const { body } = await owner<{ pairings: { userId: string; name: string; code: string }[] }>(
        at,
        'GET',
        '/v1/channels/telegram/pairings',
      )
      expect(body.pairings).toContainEqual(expect.objectContaining({ userId: String(person.id), name: 'Zoe', code }))
      const approved = await owner(at, 'POST', '/v1/channels/telegram/pairings', { code: code!.toLowerCase() })
      expect(approved.body).toMatchObject({ userId: String(person.id), role: 'user' })
      at.telegram.say(person, 'thank you')
      await expect.poll(() => at.telegram.texts(person.id).at(-1), WAIT).toBe('re: thank you')
      expect(at.telegram.texts(person.id)).toHaveLength(3)
      expect(at.model.requests.map(lastSaid)).toEqual(['thank you'])
    })

    it('takes no wrong code, no code twice, and lets nobody but the owner approve', async () => {
      const wrong = await owner<{ code: string }>(at, 'POST', '/v1/channels/telegram/pairings', { code: 'AAAA-AAAA' })
      expect([wrong.status, wrong.body.code]).toEqual([404, 'not_found'])
      const guest = await at.system.api('POST', '/v1/channels/telegram/pairings', { code: 'AAAA-AAAA' })
      expect(guest.status).toBe(403)
    })

    it('who is revoked is unknown again', async () => {
      const person = await member(at)
      await owner(at, 'DELETE', `/v1/channels/telegram/members/${person.id}`)
      at.telegram.say(person, 'still there?')
      await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(3)
      expect(at.telegram.texts(person.id)[2]).toContain('pairing code')
      expect(asked(at, 'still there?')).toBe(0)
    })
  })

  describe('commands', () => {
    it('/start, /help and unknown ones are answered without the agent', async () => {
      const person = await member(at)
      for (const text of ['/start', '/help', '/dance']) at.telegram.say(person, text)
      await expect.poll(() => heard(at, person).length, WAIT).toBe(3)
      expect(heard(at, person)[1]).toContain('/new begins a new conversation')
      expect(heard(at, person)[2]).toContain('I do not know /dance')
      expect(at.model.requests).toHaveLength(0)
    })

    it('/new begins a conversation that knows nothing of the one before', async () => {
      const person = await member(at)
      for (const text of ['the word is xylophone', '/new', 'which word?']) at.telegram.say(person, text)
      await expect.poll(() => heard(at, person).at(-1), WAIT).toBe('re: which word?')
      expect(JSON.stringify(at.model.requests.at(-1)!.body.messages)).not.toContain('xylophone')
    })

    it('/stop ends the answer that is written and drops what waited, at once', async () => {
      const person = await member(at)
      at.model.play(except({ 'count to a million': { fault: { kind: 'hang' } } }))
      at.telegram.say(person, 'count to a million')
      await expect.poll(() => asked(at, 'count to a million'), WAIT).toBe(1)
      at.telegram.say(person, 'and this?')
      at.telegram.say(person, '/stop')
      at.telegram.say(person, 'and now?')
      await expect.poll(() => heard(at, person).at(-1), WAIT).toMatch(/and now\?$/)
      expect(heard(at, person)).toHaveLength(3)
      expect(heard(at, person)).toContain('(stopped)')
      expect(asked(at, 'and this?')).toBe(0)
    })

    it('/agent tells who answers, and lets an owner choose among those that there are', async () => {
      const user = await member(at)
      const chief = await member(at, 'owner')
      await owner(at, 'POST', '/v1/agents', { id: 'sailor', name: 'Sailor', systemPrompt: 'You are a sailor.' })
      at.telegram.say(user, '/agent')
      at.telegram.say(user, '/agent sailor')
      await expectHeard(at, user, ['The agent default answers here.', 'Only an owner chooses the agent.'])
      at.telegram.say(chief, '/agent nobody')
      at.telegram.say(chief, '/agent sailor')
      at.telegram.say(chief, 'ahoy')
      await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('re: ahoy')
      expect(heard(at, chief)[0]).toContain('There is no agent nobody')
      expect(heard(at, chief)[1]).toBe('From now on the agent sailor answers here.')
      expect(JSON.stringify(at.model.requests.at(-1)!.body)).toContain('You are a sailor.')
    })
  })

  describe('an answer', () => {
    it('is formatted, and split at 4096 UTF-16 units without breaking what is bold or code', async () => {
      const person = await member(at)
      const line = 'let answer = 42 // 😀\n'
      const long = `**Result** with _style_ & <tags>\n\n\`\`\`ts\n${line.repeat(400)}\`\`\`\n\n[more](https://example.com/?a=1&b=2)`
      at.model.play({ text: long })
      at.telegram.say(person, 'show me')
      await expect.poll(() => heard(at, person).at(-1), WAIT).toContain('more')
      const messages = at.telegram.sent(person.id).slice(2)
      expect(messages.length).toBeGreaterThan(2)
      expect(messages[0]!.text).toContain('Result with style & <tags>')
      expect(messages[0]!.entities).toContainEqual({ type: 'bold', offset: 0, length: 6 })
      for (const { text, entities } of messages) {
        expect(text!.length).toBeLessThanOrEqual(4_096)
        if (text!.includes('let answer')) expect(entities).toContainEqual(expect.objectContaining({ type: 'pre' }))
      }
      const code = messages.map(({ text }) => text!.match(/let answer = 42 \/\/ 😀/g)?.length ?? 0)
      expect(code.reduce((sum, count) => sum + count)).toBe(400)
      expect(at.telegram.callsOf('sendMessage').filter(({ status }) => status === 400)).toEqual([])
    })

    it('goes out as plain text where Telegram refuses its markup', async () => {
      const person = await member(at)
      const description = "Bad Request: can't parse entities: the parser has a bad day"
      at.telegram.play('sendMessage', { kind: 'refuse', code: 400, description })
      const text = 'this is **important**'
      await owner(at, 'POST', '/v1/channels/telegram/send', { to: String(person.id), text })
      await expectHeard(at, person, ['this is important'])
      expect(at.telegram.sent(person.id).at(-1)!.entities).toBeUndefined()
    })

    it('is shown while it is written, in one message that is edited', async () => {
      const person = await member(at)
      const text = Array.from({ length: 40 }, (_, n) => `word${n}`).join(' ')
      at.model.play({ text, delayMs: 40 })
      at.telegram.say(person, 'slowly, please')
      await expectHeard(at, person, [text])
      const [message] = at.telegram.sent(person.id).slice(2)
      expect(message!.edit_date).toBeDefined()
      const first = at.telegram.callsOf('sendMessage').findLast(({ params }) => params.chat_id === person.id)!
      expect(text.startsWith(String(first.params.text))).toBe(true)
      expect(String(first.params.text).length).toBeLessThan(text.length)
    })

    it('that fails is said in words', async () => {
      const person = await member(at)
      at.model.play({ fault: { kind: 'status', status: 401 } })
      at.telegram.say(person, 'anybody there?')
      await expect.poll(() => heard(at, person).length, WAIT).toBe(1)
      expect(heard(at, person)[0]).toMatch(/^That did not work: /)
    })
  })

  it('answers in words what it cannot use, and uses the caption that came with it', async () => {
    const person = await member(at)
    const photo = [{ file_id: 'f1', file_unique_id: 'u1', width: 1, height: 1 }]
    at.telegram.say(person, undefined, { photo, media_group_id: 'album1' })
    at.telegram.say(person, undefined, { photo, media_group_id: 'album1' })
    at.telegram.say(person, undefined, { voice: { file_id: 'f2', file_unique_id: 'u2', duration: 3 } })
    at.telegram.say(person, undefined, { document: { file_id: 'f3', file_unique_id: 'u3' }, caption: 'read this' })
    await expect.poll(() => heard(at, person).length, WAIT).toBe(3)
    expect(heard(at, person).slice(0, 2)).toEqual([
      'I cannot use a photo yet. Please write what you need as text.',
      'I cannot use a voice message yet. Please write what you need as text.',
    ])
    expect(lastSaid(at.model.requests.at(-1)!)).toContain('read this\n\n[The user attached a document.')
  })

  it('answers a group only when it is mentioned or replied to, and there only who is let in', async () => {
    const group: TelegramChat = { id: -100_777, type: 'supergroup', title: 'Sailors' }
    const mention = (text: string) => ({
      chat: group,
      entities: [{ type: 'mention', offset: text.indexOf('@'), length: '@simulated_bot'.length }],
    })
    const say = (person: Person, text: string) => at.telegram.say(person, text, mention(text))
    at.telegram.say(ADA, 'just among us', { chat: group })
    say(stranger(), '@simulated_bot let me in')
    say(ADA, 'hey @simulated_bot what now?')
    await expectTexts(at, group.id, ['re: hey  what now?'])
    const [answer] = at.telegram.sent(group.id)
    at.telegram.say(BOB, 'why?', { chat: group, reply_to_message: answer })
    at.telegram.say(BOB, '/help@simulated_bot', { chat: group })
    at.telegram.say(BOB, '/help@other_bot', { chat: group })
    at.telegram.say(BOB, 'and then?', { chat: group, reply_to_message: answer })
    await expect.poll(() => at.telegram.texts(group.id).at(-1), WAIT).toBe('re: and then?')
    expect(at.telegram.texts(group.id)).toHaveLength(4)
    expect(at.model.requests.map(lastSaid)).toEqual(['hey  what now?', 'why?', 'and then?'])
  })

  it('passes over edited messages, and over what other bots write', async () => {
    const person = await member(at)
    at.telegram.say(person, 'first')
    await expectHeard(at, person, ['re: first'])
    at.telegram.edit(person, 'first, changed')
    at.telegram.say({ ...person, is_bot: true } as Person, 'beep')
    at.telegram.say(person, 'second')
    await expectHeard(at, person, ['re: first', 're: second'])
  })

  describe('an approval', () => {
    const ask = (requestId: string, to: Person) =>
      at.system.client({ owner: true }).trigger<{ ids: string[] }>({
        function_id: 'channel::telegram::ask',
        payload: { requestId, text: 'May I delete the file?', to: String(to.id) },
      })

    it('is decided by an owner with a button; without the worker that decides, that is said', async () => {
      const chief = await member(at, 'owner')
      await ask('req-1', chief)
      await ask('req-1', chief)
      await expectHeard(at, chief, ['May I delete the file?'])
      const question = at.telegram.sent(chief.id).at(-1)!
      expect(buttonsOf(question).map(({ text }) => text)).toEqual(['Approve', 'Deny'])
      const early = at.telegram.press(chief, question, 'Approve')
      await expect.poll(() => at.telegram.callbackAnswers.get(early), WAIT).toContain('"approval" is not running')

      const decided: unknown[] = []
      const worker = at.system.client({ owner: true })
      worker.registerFunction('approval::decide', (input) => void decided.push(input))
      await worker.ready()
      const press = at.telegram.press(chief, question, 'Approve')
      await expect.poll(() => at.telegram.callbackAnswers.get(press), WAIT).toBe('Approved by Member.')
      expect(decided).toMatchObject([{ requestId: 'req-1', decision: 'approve' }])
      await expectHeard(at, chief, ['May I delete the file?\n\nApproved by Member.'])
      expect(buttonsOf(at.telegram.sent(chief.id).at(-1)!)).toEqual([])
      await worker.shutdown()
    })

    it('is not decided by anybody else, nor by forged or moved buttons', async () => {
      const decided: unknown[] = []
      const worker = at.system.client({ owner: true })
      worker.registerFunction('approval::decide', (input) => void decided.push(input))
      await worker.ready()
      const [chief, other, user] = [await member(at, 'owner'), await member(at, 'owner'), await member(at)]
      const forger = stranger()
      await ask('req-2', chief)
      await ask('req-3', other)
      await expect.poll(() => [heard(at, chief).length, heard(at, other).length], WAIT).toEqual([1, 1])
      const question = at.telegram.sent(chief.id).at(-1)!
      const elsewhere = at.telegram.sent(other.id).at(-1)!
      const { callback_data: theirs } = buttonsOf(elsewhere)[0]!
      const presses = [
        at.telegram.press(user, question, 'Approve'),
        at.telegram.press(forger, question, 'Approve'),
        at.telegram.press(chief, question, 'Approve', theirs),
        at.telegram.press(chief, question, 'Approve', 'approve:req-2'),
        at.telegram.press(chief, question, 'Approve', '__proto__|0'),
        at.telegram.press(chief, question, 'Approve', `${buttonsOf(question)[0]!.callback_data}7`),
      ]
      await expect.poll(() => presses.every((id) => at.telegram.callbackAnswers.has(id)), WAIT).toBe(true)
      expect(decided).toEqual([])
      await worker.shutdown()
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
      expect(await outbox(at, 'in_doubt')).toMatchObject([
        { text: 're: one', reason: expect.stringContaining('failed') },
      ])
      at.telegram.say(person, 'two')
      await expect.poll(() => heard(at, person).at(-1), WAIT).toBe('re: two')
      expect(heard(at, person).filter((text) => text === 're: one')).toHaveLength(1)
      at.telegram.press(person, question, 'Send it again')
      await expect.poll(() => heard(at, person).filter((text) => text === 're: one').length, WAIT).toBe(2)
      await expect.poll(() => outbox(at, 'in_doubt'), WAIT).toEqual([])
    })

    it('that never had an effect is in doubt too, and the owner settles it', async () => {
      const person = await member(at)
      at.telegram.play('sendMessage', { kind: 'reset' })
      at.telegram.say(person, 'three')
      await expect.poll(async () => (await outbox(at, 'in_doubt')).length, WAIT).toBe(1)
      const [entry] = await outbox(at, 'in_doubt')
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
      const [entry] = await outbox(at, 'in_doubt')
      expect(entry).toMatchObject({ text: 're: four' })
      await owner(at, 'POST', `/v1/channels/telegram/outbox/${encodeURIComponent(entry!.id)}`, { as: 'resend' })
      await expect.poll(() => heard(at, person), WAIT).toContain('re: four')
    })

    it('is failed, not in doubt, where Telegram refused it for good', async () => {
      const person = await member(at)
      at.telegram.block(person.id)
      at.telegram.say(person, 'five')
      await expect
        .poll(() => outbox(at, 'failed'), WAIT)
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
    await expect.poll(async () => (await outbox(at, 'in_doubt')).length, WAIT).toBeGreaterThan(0)
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

describe('a bot with a webhook', () => {
  let at: Installation
  beforeAll(async () => {
    at = await install({ webhook: true })
    await vi.waitUntil(() => at.telegram.updates.webhook !== undefined, WAIT)
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  const deliver = (body: unknown, headers: Record<string, string> = {}) =>
    at.system.api('POST', '/webhook/telegram', body, { headers })
  const update = (id: number, text: string) => ({
    update_id: id,
    message: {
      message_id: id,
      date: 1,
      chat: { id: ADA.id, type: 'private' },
      from: { id: ADA.id, is_bot: false, first_name: 'Ada' },
      text,
    },
  })
  const genuine = { 'x-telegram-bot-api-secret-token': WEBHOOK_SECRET }

  it('registers it with its secret, and answers what Telegram delivers', async () => {
    expect(at.telegram.updates.webhook).toEqual({ url: `${at.door!.url}/webhook/telegram`, secret: WEBHOOK_SECRET })
    at.telegram.say(BOB, 'hello')
    await expectTexts(at, BOB.id, ['re: hello'])
    expect(at.telegram.updates.deliveries.every(({ status }) => status === 200)).toBe(true)
  })

  it.each([
    ['no header', {}],
    ['an empty secret', { 'x-telegram-bot-api-secret-token': '' }],
    ['another secret', { 'x-telegram-bot-api-secret-token': 'b-secret-of-the-webhook_0123456789' }],
    ['a part of it', { 'x-telegram-bot-api-secret-token': WEBHOOK_SECRET.slice(0, -1) }],
    ['more than it', { 'x-telegram-bot-api-secret-token': `${WEBHOOK_SECRET}x` }],
    ['other case', { 'x-telegram-bot-api-secret-token': WEBHOOK_SECRET.toUpperCase() }],
    ['it twice', { 'x-telegram-bot-api-secret-token': `${WEBHOOK_SECRET}, ${WEBHOOK_SECRET}` }],
    ['it as a bearer token', { authorization: `Bearer ${WEBHOOK_SECRET}` }],
    ['it under another name', { 'x-telegram-secret-token': WEBHOOK_SECRET }],
    ['the secret in the body', {}],
  ])('refuses a forged delivery with %s', async (what, headers) => {
    const forged = { ...update(900_001, 'forged'), ...(what.endsWith('body') ? { headers: genuine } : {}) }
    const { status, text } = await deliver(forged, headers)
    expect(status).toBe(401)
    expect(text).not.toContain(WEBHOOK_SECRET)
    expect(asked(at, 'forged')).toBe(0)
  })

  it('takes the owner token for no secret, and a query for none either', async () => {
    expect((await at.system.api('POST', '/webhook/telegram', update(900_002, 'forged'), { owner: true })).status).toBe(
      401,
    )
    const path = `/webhook/telegram?x-telegram-bot-api-secret-token=${WEBHOOK_SECRET}`
    expect((await at.system.api('POST', path, update(900_003, 'forged'))).status).toBe(401)
    expect(asked(at, 'forged')).toBe(0)
  })

  it('is not fooled by calling the function, or its queue, past the route', async () => {
    const guest = at.system.client()
    const call = (function_id: string, payload: unknown) => guest.trigger({ function_id, payload })
    await expect(
      call('channel::telegram::webhook', { headers: {}, body: update(900_004, 'forged') }),
    ).resolves.toMatchObject({ status_code: 401 })
    const event = update(900_005, 'forged')
    await expect(call('channel::telegram::receive', { lane: 'x', event })).rejects.toMatchObject({ code: 'forbidden' })
    const data = { lane: 'x', event }
    await expect(call('iii::durable::publish', { topic: 'telegram.updates', data })).rejects.toMatchObject({
      code: 'forbidden',
    })
    expect(asked(at, 'forged')).toBe(0)
  })

  it('handles a replay once, and an altered replay not at all', async () => {
    const before = at.telegram.texts(ADA.id).length
    for (let n = 0; n < 3; n++) expect((await deliver(update(900_010, 'replayed'), genuine)).status).toBe(200)
    expect((await deliver(update(900_010, 'altered'), genuine)).status).toBe(200)
    expect((await deliver(update(900_011, 'after'), genuine)).status).toBe(200)
    at.telegram.addChat({ id: ADA.id, type: 'private' })
    await expect.poll(() => at.telegram.texts(ADA.id).slice(before), WAIT).toEqual(['re: replayed', 're: after'])
    expect(asked(at, 'altered')).toBe(0)
  })

  it('refuses what is no update, and passes over kinds that it does not know', async () => {
    for (const body of ['not json', [], 'null', { hello: 1 }, { update_id: 'x' }]) {
      expect((await deliver(body, { ...genuine, 'content-type': 'application/json' })).status).toBe(400)
    }
    expect((await deliver({ update_id: 900_020, poll: { id: '1' } }, genuine)).status).toBe(200)
    expect((await deliver({ update_id: 900_021, message: { text: 1 } }, genuine)).status).toBe(200)
  })

  it('answers once although its confirmation was lost', async () => {
    at.door!.swallow = 1
    at.telegram.say(EVE, 'twice?')
    await expectTexts(at, EVE.id, ['re: twice?'])
    await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    expect(at.telegram.updates.deliveries.slice(-2).map(({ status }) => status)).toEqual([0, 200])
    at.telegram.say(EVE, 'next')
    await expectTexts(at, EVE.id, ['re: twice?', 're: next'])
    expect(asked(at, 'twice?')).toBe(1)
  })
})

describe('a chat that needs an approval', () => {
  let at: Installation
  let mails: SmtpSimulator
  beforeAll(async () => {
    mails = await startSmtpSimulator()
    at = await install({
      workers: ['agent-core', 'approval', 'channel-telegram', 'llm-router', 'memory', 'security', 'toolbox'],
      workerEnv: { toolbox: { SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' } },
      entries: [{ name: 'toolbox', config: { allow_private: ['127.0.0.0/8'] } }],
    })
    // An owner of config.yaml is asked too, and has to be reachable.
    at.telegram.addChat({ id: ADA.id, type: 'private' })
    const agent = { id: 'clerk', name: 'Clerk', capabilities: { functions: ['fn::*', 'plain::*'] } }
    expect((await owner(at, 'POST', '/v1/agents', agent)).status).toBe(201)
  })
  afterAll(async () => {
    await at?.stop()
    await mails?.close()
  })

  /** Each letter is one call after the other, then comes the answer. */
  const writes = (...letters: { to: string; subject: string; text: string }[]): void =>
    at.model.play([
      ...letters.map((letter) => ({ toolCalls: [{ name: 'fn__email_send', arguments: letter }] })),
      { text: 'The mail is sent.' },
    ])
  const letter = (subject: string) => ({ to: 'harbour@example.com', subject, text: 'We close at nine.' })
  const mailsAbout = (subject: string) => mails.received.filter(({ headers }) => headers.get('subject') === subject)
  const settled = async (press: string): Promise<string> => {
    await expect.poll(() => at.telegram.callbackAnswers.get(press), WAIT).toBeDefined()
    return at.telegram.callbackAnswers.get(press)!
  }
  const talks = async (role: 'user' | 'owner'): Promise<Person> => {
    const person = await member(at, role)
    const payload = { conversation: String(person.id), agentId: 'clerk' }
    await at.system.client({ owner: true }).trigger({ function_id: 'channel::telegram::bind', payload })
    return person
  }
  /** The latest message to somebody that has buttons. */
  const question = async (person: Person, about: string) => {
    const found = () =>
      at.telegram.sent(person.id).findLast((message) => buttonsOf(message).length > 0 && message.text!.includes(about))
    await expect.poll(found, WAIT).toBeDefined()
    return found()!
  }

  it('asks the owner who began it, shows what is to be done, does it once, and answers', async () => {
    const chief = await talks('owner')
    writes(letter('Hours'))
    at.telegram.say(chief, 'tell the harbour when we close')
    const asked = await question(chief, 'Hours')
    for (const part of ['fn::email_send', 'harbour@example.com', 'We close at nine.'])
      expect(asked.text).toContain(part)
    expect(mails.received).toEqual([])
    // Nobody else's press counts, and not that of an owner elsewhere.
    const user = await member(at)
    expect(await settled(at.telegram.press(user, asked, 'Approve'))).toBe('Only an owner may decide this.')
    expect(await settled(at.telegram.press(chief, asked, 'Approve'))).toBe('Approved by Member.')
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('The mail is sent.')
    expect(heard(at, chief)).toHaveLength(2)
    expect(heard(at, chief)[0]).toMatch(/Approved by Member\.$/)
    expect(mailsAbout('Hours')).toHaveLength(1)
    const { body } = await owner<{ toolName: string; decidedBy: string; decidedByNote: string }[]>(
      at,
      'GET',
      '/v1/approvals?agentId=clerk&limit=1',
    )
    expect(body).toMatchObject([{ decidedBy: `channel-telegram:${chief.id}`, decidedByNote: 'Member' }])
    expect(buttonsOf(at.telegram.sent(chief.id).at(-2)!)).toEqual([])
  })

  it('that is denied tells the agent, and nothing is sent', async () => {
    const chief = await talks('owner')
    writes(letter('Denied'))
    at.telegram.say(chief, 'write to the harbour')
    const asked = await question(chief, 'Denied')
    const [approve] = buttonsOf(asked)
    expect(await settled(at.telegram.press(chief, asked, 'Deny'))).toBe('Denied by Member.')
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('The mail is sent.')
    expect(JSON.stringify(at.model.requests.at(-1)!.body)).toContain('approval_denied')
    expect(mailsAbout('Denied')).toEqual([])
    expect(await settled(at.telegram.press(chief, asked, 'Approve', approve!.callback_data))).toBe(
      'This question is not open any more.',
    )
  })

  it('asks once for each call, and answers other messages meanwhile', async () => {
    const chief = await talks('owner')
    writes(letter('First'), letter('Second'))
    at.telegram.say(chief, 'two letters, please')
    const first = await question(chief, 'First')
    at.model.play([{ text: 'Still here.' }])
    at.telegram.say(chief, 'are you there?')
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('Still here.')
    at.model.play([
      { toolCalls: [{ name: 'fn__email_send', arguments: letter('Second') }] },
      { text: 'Both are sent.' },
    ])
    at.telegram.press(chief, first, 'Approve')
    const second = await question(chief, 'Second')
    expect(mailsAbout('First')).toHaveLength(1)
    at.telegram.press(chief, second, 'Approve')
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('Both are sent.')
    expect([mailsAbout('First').length, mailsAbout('Second').length]).toEqual([1, 1])
  })

  it('of somebody who is no owner is decided by the owners, in private', async () => {
    const user = await talks('user')
    const chief = await member(at, 'owner')
    writes(letter('Asked'))
    at.telegram.say(user, 'please write to the harbour')
    await expect.poll(() => heard(at, user).at(-1), WAIT).toContain('An owner of this system has to approve')
    expect(buttonsOf(at.telegram.sent(user.id).at(-1)!)).toEqual([])
    at.telegram.press(chief, await question(chief, 'Asked'), 'Approve')
    await expect.poll(() => heard(at, user).at(-1), WAIT).toBe('The mail is sent.')
    expect(mailsAbout('Asked')).toHaveLength(1)
  })

  it('is stopped with /stop: nothing is sent, whatever is decided after', async () => {
    const chief = await talks('owner')
    writes(letter('Stopped'))
    at.telegram.say(chief, 'write to the harbour')
    const asked = await question(chief, 'Stopped')
    const [approve] = buttonsOf(asked)
    at.telegram.say(chief, '/stop')
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('(stopped)')
    expect(await settled(at.telegram.press(chief, asked, 'Approve', approve!.callback_data))).toBe(
      'This question is not open any more.',
    )
    expect(mailsAbout('Stopped')).toEqual([])
  })

  it.each([
    ['the channel', ['channel-telegram']],
    ['the engine', ['engine']],
    [
      'all of it',
      ['engine', 'agent-core', 'approval', 'channel-telegram', 'llm-router', 'memory', 'security', 'toolbox'],
    ],
  ])('outlives kill -9 of %s, before the decision and after', async (name, victims) => {
    const chief = await talks('owner')
    const subject = `Survivor of ${name}`
    writes(letter(subject))
    at.telegram.say(chief, `write, ${name}`)
    const asked = await question(chief, subject)
    // Until its confirmation is on disk it would be in doubt.
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    const killAll = async () => {
      const children = victims.map((victim) => (victim === 'engine' ? at.system.engine : at.system.workers[victim]!))
      await Promise.all(children.map((child) => child.kill()))
      if (victims.includes('engine')) await at.system.engine.start()
      await Promise.all(children.filter(({ running }) => !running).map((child) => child.start()))
      await at.system.ready()
    }
    await killAll()
    at.model.play({ text: 'The mail is sent.', delayMs: 300 })
    expect(await settled(at.telegram.press(chief, asked, 'Approve'))).toBe('Approved by Member.')
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await killAll()
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('The mail is sent.')
    expect(mailsAbout(subject)).toHaveLength(1)
    expect(heard(at, chief).filter((text) => text === 'The mail is sent.')).toHaveLength(1)
  })

  it('that nobody knows the outcome of says so, and answers when the owner has looked', async () => {
    const chief = await talks('owner')
    const plain = at.system.client({ owner: true })
    const reached = Promise.withResolvers<void>()
    plain.registerFunction('plain::send', async () => {
      reached.resolve()
      await new Promise(() => {})
    })
    await expect
      .poll(async () => (await owner(at, 'GET', '/v1/agents/clerk/functions')).text, WAIT)
      .toContain('plain::send')
    at.model.play([
      { toolCalls: [{ name: 'plain__send', arguments: { to: 'the lighthouse' } }] },
      { text: 'It shines.' },
    ])
    at.telegram.say(chief, 'tell the lighthouse')
    at.telegram.press(chief, await question(chief, 'the lighthouse'), 'Approve')
    await reached.promise
    await plain.shutdown()
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toContain('nobody knows whether plain::send took effect')
    const [said] = /\{.*\}/.exec(heard(at, chief).at(-1)!)!
    const { runId, step, answer } = JSON.parse(said) as Record<string, string>
    const resumed = await owner(at, 'POST', `/v1/runs/${runId}/resume`, { step, answer, result: 'sent' })
    expect(resumed.status).toBe(200)
    await expect.poll(() => heard(at, chief).at(-1), WAIT).toBe('It shines.')
    expect(heard(at, chief)).toHaveLength(3)
  })

  it('is decided through the channel by nobody else: no agent, no guest, no other worker', async () => {
    const chief = await talks('owner')
    writes(letter('Forged'))
    at.telegram.say(chief, 'write to the harbour')
    await question(chief, 'Forged')
    const pending = async () => (await owner<{ id: string }[]>(at, 'GET', '/v1/approvals?status=pending')).body
    const requestId = (await pending())[0]!.id
    const person = { id: String(chief.id), name: 'Member' }
    const payload = { requestId, decision: 'approve', person }
    const credential = async (worker: string) =>
      (await readFile(join(at.system.dataDir, 'credentials', worker), 'utf8')).trim()
    const channel = at.system.client({ credential: await credential('channel-telegram') })
    for (const [who, client, more] of [
      ['a guest', at.system.client(), {}],
      ['the owner in the name of a person', at.system.client({ owner: true }), {}],
      ['another worker', at.system.client({ credential: await credential('agent-core') }), {}],
      ['an agent, through the channel', channel, { agent: 'clerk' }],
      ['the channel in a run', channel, { run: 'run-1' }],
    ] as const) {
      const call = client.trigger({ function_id: 'approval::decide', payload, ...more } as never)
      await expect(call, who).rejects.toMatchObject({ code: 'forbidden' })
    }
    const unnamed = { requestId, decision: 'approve' }
    const call = (input: object) => channel.trigger({ function_id: 'approval::decide', payload: input })
    await expect(call(unnamed), 'the channel for itself').rejects.toMatchObject({ code: 'forbidden' })
    // The channel for a person is heard; in its own realm there is no such request.
    await expect(call(payload)).rejects.toMatchObject({ code: 'not_found' })
    expect((await pending()).map(({ id }) => id)).toContain(requestId)
    expect(mailsAbout('Forged')).toEqual([])
  })
})

/** Echoes of this message. */
function answers(at: Installation, chatId: number, message: string): string[] {
  return at.telegram.texts(chatId).filter((text) => text === `re: ${message}`)
}

/** How often this message of a chat is in the agent's transcript. */
async function remembered(at: Installation, chatId: number, message: string): Promise<number> {
  const payload = { agentId: 'default', sessionId: `telegram:${chatId}` }
  const request = { function_id: 'memory::session::get', payload }
  const { messages } = await at.system
    .client({ owner: true })
    .trigger<{ messages: { role: string; content: string }[] }>(request)
  return messages.filter(({ role, content }) => role === 'user' && content === message).length
}

describe.each(['webhook', 'polling'] as const)('kill -9, with %s', (mode) => {
  let at: Installation
  let n = 0
  beforeAll(async () => {
    // Answers go out whole: which request of a message is interrupted is then known.
    at = await install({ webhook: mode === 'webhook', settings: { stream: false } })
    if (mode === 'webhook') await vi.waitUntil(() => at.telegram.updates.webhook !== undefined, WAIT)
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  const fresh = (): string => {
    n += 1
    return `question ${mode} ${n}`
  }
  const channel = () => at.system.workers['channel-telegram']!
  const kill = async (victim: 'worker' | 'engine') => {
    await (victim === 'worker' ? channel() : at.system.engine).kill()
  }
  const revive = async (victim: 'worker' | 'engine') => {
    await (victim === 'worker' ? channel() : at.system.engine).start()
    await at.system.ready()
  }

  it.each([
    ['worker', 1],
    ['engine', 2],
  ] as const)('of the %s while the agent answers: its run goes on, one answer comes', async (victim, requests) => {
    const message = fresh()
    at.model.play({ text: `re: ${message}`, delayMs: 200 })
    at.telegram.say(BOB, message)
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await kill(victim)
    await revive(victim)
    await expect.poll(() => answers(at, BOB.id, message).length, WAIT).toBe(1)
    expect(at.model.requests.length).toBeLessThanOrEqual(requests)
    expect(await remembered(at, BOB.id, message)).toBe(1)
    at.model.play(echo)
    const after = fresh()
    at.telegram.say(BOB, after)
    await expect.poll(() => answers(at, BOB.id, after).length, WAIT).toBe(1)
    expect(answers(at, BOB.id, message)).toHaveLength(1)
    await expect.poll(() => outbox(at), WAIT).toEqual([])
  })

  it.each(['worker', 'engine'] as const)(
    'of the %s after the answer was computed and before it is sent: it is sent, and not computed again',
    async (victim) => {
      const message = fresh()
      at.telegram.play('sendMessage', { kind: 'refuse', code: 429, retryAfter: 2 })
      at.telegram.say(BOB, message)
      const refused = { text: `re: ${message}`, reason: expect.stringContaining('429') }
      await expect.poll(() => outbox(at, 'pending'), WAIT).toMatchObject([refused])
      await kill(victim)
      expect(answers(at, BOB.id, message)).toEqual([])
      await revive(victim)
      await expect.poll(() => answers(at, BOB.id, message), WAIT).toEqual([`re: ${message}`])
      expect(asked(at, message)).toBe(1)
      await expect.poll(() => outbox(at), WAIT).toEqual([])
    },
  )

  it('of the worker while a message is on its way: it is in doubt, asked about, and not sent again', async () => {
    const message = fresh()
    const gate = at.telegram.gate('sendMessage')
    at.telegram.say(EVE, message)
    await gate.reached
    await kill('worker')
    gate.release()
    await revive('worker')
    await expect.poll(() => at.telegram.texts(EVE.id).at(-1), WAIT).toContain('Did it arrive?')
    expect(await outbox(at, 'in_doubt')).toMatchObject([{ text: `re: ${message}` }])
    const after = fresh()
    at.telegram.say(EVE, after)
    await expect.poll(() => answers(at, EVE.id, after).length, WAIT).toBe(1)
    expect(answers(at, EVE.id, message)).toHaveLength(1)
    expect(asked(at, message)).toBe(1)
    const question = at.telegram.sent(EVE.id).find(({ text }) => text?.includes('Did it arrive?'))!
    at.telegram.press(EVE, question, 'It arrived')
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    expect(answers(at, EVE.id, message)).toHaveLength(1)
  })

  it('of the engine while a message is on its way: it arrives once, and that is known', async () => {
    const message = fresh()
    const gate = at.telegram.gate('sendMessage')
    at.telegram.say(EVE, message)
    await gate.reached
    await kill('engine')
    gate.release()
    await revive('engine')
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    expect(answers(at, EVE.id, message)).toHaveLength(1)
    const after = fresh()
    at.telegram.say(EVE, after)
    await expect.poll(() => answers(at, EVE.id, after).length, WAIT).toBe(1)
    expect(answers(at, EVE.id, message)).toHaveLength(1)
  })

  it.each(['worker', 'engine'] as const)(
    'of the %s before a message was stored: it is answered later',
    async (victim) => {
      const message = fresh()
      await kill(victim)
      at.telegram.say(ADA, message)
      await revive(victim)
      await expect.poll(() => answers(at, ADA.id, message), WAIT).toEqual([`re: ${message}`])
      await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    },
  )

  it('of the worker after a message was stored and before that was confirmed: it is answered once', async () => {
    const message = fresh()
    if (mode === 'webhook') at.door!.swallow = 1
    at.telegram.say(ADA, message)
    const update = at.telegram.updates.waiting.at(-1)!
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await kill('worker')
    if (!at.telegram.updates.waiting.includes(update)) at.telegram.updates.repeat(update, `chat/${ADA.id}`)
    await revive('worker')
    await expect.poll(() => answers(at, ADA.id, message).length, WAIT).toBe(1)
    await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    const after = fresh()
    at.telegram.say(ADA, after)
    await expect.poll(() => answers(at, ADA.id, after).length, WAIT).toBe(1)
    expect(answers(at, ADA.id, message)).toHaveLength(1)
  })

  it('of worker and engine again and again, while three chats write: all in order, none twice without doubt', async () => {
    const people = [ADA, BOB, EVE]
    const questions = Array.from({ length: 8 }, () => fresh())
    at.model.play((request) => ({ text: `re: ${lastSaid(request)}`, delayMs: 30 }))
    for (const [index, question] of questions.entries()) {
      for (const person of people) at.telegram.say(person, `${question} of ${person.first_name}`)
      if (index % 3 !== 1) continue
      await expect.poll(() => at.model.requests.length, WAIT).toBeGreaterThan(index * 2)
      const victim = index === 4 ? 'engine' : 'worker'
      await kill(victim)
      await revive(victim)
    }
    for (const person of people) {
      const wanted = questions.map((question) => `${question} of ${person.first_name}`)
      const last = wanted.at(-1)!
      const inDoubt = async () => (await outbox(at, 'in_doubt')).map(({ text }) => text)
      await expect
        .poll(
          async () => answers(at, person.id, last).length > 0 || (await inDoubt()).some((text) => text.endsWith(last)),
          WAIT,
        )
        .toBe(true)
      const doubts = await inDoubt()
      const places: number[] = []
      for (const question of wanted) {
        const found = answers(at, person.id, question)
        expect(found.length, question).toBeLessThanOrEqual(1)
        if (found.length === 0)
          expect(
            doubts.some((text) => text.endsWith(question)),
            question,
          ).toBe(true)
        else places.push(at.telegram.texts(person.id).indexOf(found[0]!))
      }
      expect(places).toEqual([...places].sort((a, b) => a - b))
    }
  })
})

describe('kill -9 while an answer is shown as it is written', () => {
  it.each(['worker', 'engine', 'llm-router'] as const)('of the %s: it goes on in the same message', async (victim) => {
    const at = await install()
    try {
      const beginning = Array.from({ length: 30 }, (_, n) => `word${n}`).join(' ')
      at.model.play({ text: beginning, delayMs: 40 })
      at.telegram.say(BOB, 'tell me a story')
      await expect.poll(() => at.telegram.texts(BOB.id).length, WAIT).toBe(1)
      // Until its confirmation is on disk it would be in doubt.
      await expect.poll(() => outbox(at), WAIT).toEqual([])
      const { engine, workers } = at.system
      const child = victim === 'engine' ? engine : workers[victim === 'worker' ? 'channel-telegram' : victim]!
      await child.kill()
      // Who only showed it missed a part; who was asking asks anew, and what came before is void.
      const anew = Array.from({ length: 30 }, (_, n) => `anew${n}`).join(' ')
      const whole = victim === 'worker' ? beginning : anew
      at.model.play({ text: anew, delayMs: 40 })
      await child.start()
      await at.system.ready()
      if (victim === 'llm-router') {
        await expect.poll(() => at.telegram.texts(BOB.id)[0], WAIT).toMatch(/^anew/)
        expect(at.telegram.texts(BOB.id)[0]).not.toBe(anew)
      }
      await expect.poll(() => at.telegram.texts(BOB.id), WAIT).toEqual([whole])
      expect(at.telegram.callsOf('sendMessage')).toHaveLength(1)
      await expect.poll(() => outbox(at), WAIT).toEqual([])
    } finally {
      await at.stop()
    }
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

describe('without its settings', () => {
  it.each([
    ['the token', {}, false, 'TELEGRAM_BOT_TOKEN'],
    ['a token that can be one', { TELEGRAM_BOT_TOKEN: 'paste-it-here' }, false, 'as BotFather gave it'],
    [
      'the secret of the webhook',
      { TELEGRAM_BOT_TOKEN: '123456:simulated-token-of-a-bot-0123456789' },
      true,
      'TELEGRAM_WEBHOOK_SECRET',
    ],
  ])('the worker runs without %s, says so, and does nothing', async (_what, secrets, webhook, name) => {
    const at = await install({ secrets, webhook, workers: ['channel-telegram'] })
    try {
      expect(at.system.logs('channel-telegram')).toContain(name)
      const { body } = await owner<{ mode: string; missing: string[] }>(at, 'GET', '/v1/channels/telegram')
      expect(body).toMatchObject({ mode: 'off', missing: [expect.stringContaining(name)] })
      const hook = await at.system.api<{ code: string; detail: string }>('POST', '/webhook/telegram', { update_id: 1 })
      expect([hook.status, hook.body.code]).toEqual([503, 'not_configured'])
      expect(JSON.stringify(hook.body)).toContain(name)
      expect(at.telegram.calls).toEqual([])
    } finally {
      await at.stop()
    }
  })

  it('that Telegram knows, it says so and goes on trying', async () => {
    const at = await install({ secrets: { TELEGRAM_BOT_TOKEN: '123456:another-token-of-a-bot-0123456789' } })
    try {
      await expect
        .poll(async () => (await owner<{ problem: string }>(at, 'GET', '/v1/channels/telegram')).body.problem, WAIT)
        .toContain('does not know the token in TELEGRAM_BOT_TOKEN')
      expect(at.system.logs()).not.toContain('another-token-of-a-bot')
    } finally {
      await at.stop()
    }
  })

  it('serves the realm of its settings and no other', async () => {
    const at = await install({ workers: ['channel-telegram', 'realm'] })
    try {
      const created = await owner<{ id: string }>(at, 'POST', '/v1/realms', { name: 'elsewhere' })
      const reply = await at.system.api<{ code: string }>('GET', '/v1/channels/telegram/members', undefined, {
        owner: true,
        realm: created.body.id,
      })
      expect([reply.status, reply.body.code]).toEqual([403, 'realm_mismatch'])
    } finally {
      await at.stop()
    }
  })
})
