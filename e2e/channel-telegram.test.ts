import type { Person, TelegramChat } from '@agentos/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ADA,
  asked,
  BOB,
  EVE,
  echo,
  except,
  expectHeard,
  expectTexts,
  fresh,
  heard,
  type Installation,
  install,
  lastSaid,
  member,
  owner,
  stranger,
  WAIT,
} from './support/telegram.ts'

describe('a bot that asks for its updates', () => {
  let at: Installation
  beforeAll(async () => {
    at = await install()
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  it('answers who is let in, in order within each of three chats that write at once', async () => {
    const people = [ADA, BOB, EVE]
    const mark = fresh('hello')
    for (let n = 1; n <= 5; n++) for (const person of people) at.telegram.say(person, `${mark} ${n}`)
    for (const person of people) {
      const answers = () => at.telegram.texts(person.id).filter((text) => text.includes(mark))
      await expect.poll(answers, WAIT).toEqual([1, 2, 3, 4, 5].map((n) => `re: ${mark} ${n}`))
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
      // The model goes on when its first half is seen.
      const middle = Promise.withResolvers<void>()
      at.model.play({ text, delayMs: 20, midway: () => middle.promise })
      at.telegram.say(person, 'slowly, please')
      await expect.poll(() => heard(at, person).length, WAIT).toBe(1)
      middle.resolve()
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
    const group: TelegramChat = { id: -stranger().id, type: 'supergroup', title: 'Sailors' }
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
    await expect.poll(() => at.telegram.texts(group.id).at(-1), WAIT).toMatch(/and then\?$/)
    expect(at.telegram.texts(group.id)).toHaveLength(4)
    const said = at.model.requests.map((request) => lastSaid(request).split('\n\n').at(-1))
    expect(said).toEqual(['hey  what now?', 'why?', 'and then?'])
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

  it('broke no rule of the Bot API', () => {
    expect(at.telegram.violations).toEqual([])
  })
})
