import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  ADA,
  answers,
  asked,
  BOB,
  EVE,
  echo,
  fresh,
  type Installation,
  install,
  owner,
  stranger,
  WAIT,
  WEBHOOK_SECRET,
} from './support/telegram.ts'

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
    const hello = fresh('hello')
    at.telegram.say(BOB, hello)
    await expect.poll(() => answers(at, BOB.id, hello).length, WAIT).toBe(1)
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
    const [id, next] = [stranger().id + 900_000, stranger().id + 900_000]
    for (let n = 0; n < 3; n++) expect((await deliver(update(id, 'replayed'), genuine)).status).toBe(200)
    expect((await deliver(update(id, 'altered'), genuine)).status).toBe(200)
    expect((await deliver(update(next, 'after'), genuine)).status).toBe(200)
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
    const [twice, next] = [fresh('twice?'), fresh('next')]
    at.door!.swallow = 1
    at.telegram.say(EVE, twice)
    await expect.poll(() => answers(at, EVE.id, twice).length, WAIT).toBe(1)
    await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    expect(at.telegram.updates.deliveries.slice(-2).map(({ status }) => status)).toEqual([0, 200])
    at.telegram.say(EVE, next)
    await expect.poll(() => answers(at, EVE.id, next).length, WAIT).toBe(1)
    expect(answers(at, EVE.id, twice)).toHaveLength(1)
    expect(asked(at, twice)).toBe(1)
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
