import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buttonsOf, startTelegramSimulator, type TelegramSimulator } from './simulator.ts'

interface Answer {
  ok: boolean
  error_code?: number
  description?: string
  result?: unknown
  parameters?: { retry_after?: number; migrate_to_chat_id?: number }
}

const ADA = { id: 7, first_name: 'Ada' }
let telegram: TelegramSimulator

beforeAll(async () => {
  telegram = await startTelegramSimulator({ limits: { chatMs: 0 }, local: false })
  telegram.addChat({ id: 7, type: 'private' })
})
afterAll(() => telegram.close())

async function call(method: string, params: unknown, to = telegram, token = to.token): Promise<Answer> {
  const response = await fetch(`${to.url}/bot${token}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(params),
  })
  return (await response.json()) as Answer
}

describe('the simulated Bot API refuses', () => {
  const markup = (data: string) => ({ inline_keyboard: [[{ text: 'x', callback_data: data }]] })
  it.each([
    ['an unknown method', 'sendMesage', {}, 404, 'method not found'],
    ['an unknown parameter', 'sendMessage', { chat_id: 7, text: 'a', colour: 'red' }, 400, 'Unrecognized key'],
    ['a parameter of a wrong type', 'sendMessage', { chat_id: 7, text: 5 }, 400, 'text'],
    ['an unknown chat', 'sendMessage', { chat_id: 8, text: 'a' }, 400, 'chat not found'],
    ['an empty text', 'sendMessage', { chat_id: 7, text: ' \n' }, 400, 'message text is empty'],
    ['a text that is too long', 'sendMessage', { chat_id: 7, text: '😀'.repeat(2_049) }, 400, 'message is too long'],
    ['an open tag', 'sendMessage', { chat_id: 7, text: '<b>a', parse_mode: 'HTML' }, 400, "can't parse entities"],
    [
      'an unknown tag',
      'sendMessage',
      { chat_id: 7, text: '<p>a</p>', parse_mode: 'HTML' },
      400,
      'Unsupported start tag',
    ],
    [
      'crossed tags',
      'sendMessage',
      { chat_id: 7, text: '<b><i>a</b></i>', parse_mode: 'HTML' },
      400,
      'Unmatched end tag',
    ],
    [
      'a button with too much data',
      'sendMessage',
      { chat_id: 7, text: 'a', reply_markup: markup('é'.repeat(33)) },
      400,
      'BUTTON_DATA_INVALID',
    ],
    [
      'an edit of nothing',
      'editMessageText',
      { chat_id: 7, message_id: 999, text: 'a' },
      400,
      'message to edit not found',
    ],
    ['an unknown press', 'answerCallbackQuery', { callback_query_id: 'x' }, 400, 'query is too old'],
    ['a webhook without TLS', 'setWebhook', { url: 'http://example.com' }, 400, 'An HTTPS URL must be provided'],
    ['a webhook on another port', 'setWebhook', { url: 'https://example.com:3000' }, 400, 'only on ports'],
    [
      'a secret with other letters',
      'setWebhook',
      { url: 'https://example.com', secret_token: 'a b' },
      400,
      'unallowed characters',
    ],
  ])('%s', async (_what, method, params, code, words) => {
    const answer = await call(method, params)
    expect(answer).toMatchObject({ ok: false, error_code: code })
    expect(answer.description).toContain(words)
  })

  it('a wrong token', async () => {
    expect(await call('getMe', {}, telegram, '1:wrong')).toMatchObject({ error_code: 401, description: 'Unauthorized' })
  })

  it('an edit that changes nothing', async () => {
    const { result } = await call('sendMessage', { chat_id: 7, text: '<b>a</b>', parse_mode: 'HTML' })
    const { message_id } = result as { message_id: number }
    const edit = { chat_id: 7, message_id, text: '<b>a</b>', parse_mode: 'HTML' }
    expect((await call('editMessageText', edit)).description).toContain('message is not modified')
    expect((await call('editMessageText', { ...edit, text: 'a' })).ok).toBe(true)
  })

  it('what comes too fast, with the seconds to wait', async () => {
    const strict = await startTelegramSimulator()
    strict.addChat({ id: 7, type: 'private' })
    await call('sendMessage', { chat_id: 7, text: 'a' }, strict)
    const second = await call('sendMessage', { chat_id: 7, text: 'b' }, strict)
    expect(second).toMatchObject({ error_code: 429, parameters: { retry_after: 1 } })
    expect(strict.texts(7)).toEqual(['a'])
    await strict.close()
  })
})

describe('the topics of a simulated forum', () => {
  const forum = { id: -1001, type: 'supergroup' as const, title: 'Forum', is_forum: true }
  let topic: number
  beforeAll(() => {
    telegram.addChat(forum)
    topic = telegram.addTopic(forum.id)
  })
  const send = (more: object) => call('sendMessage', { chat_id: forum.id, text: 'a', ...more })

  it('are named by their id; General is not, and one that is not there is refused', async () => {
    expect((await send({ message_thread_id: topic })).result).toMatchObject({ message_thread_id: topic })
    expect((await send({})).result).not.toHaveProperty('message_thread_id')
    for (const message_thread_id of [1, 99]) {
      expect(await send({ message_thread_id })).toMatchObject({
        error_code: 400,
        description: 'Bad Request: message thread not found',
      })
    }
    const typing = (message_thread_id: number) =>
      call('sendChatAction', { chat_id: forum.id, message_thread_id, action: 'typing' })
    expect([(await typing(1)).ok, (await typing(99)).ok]).toEqual([true, false])
  })

  it('take no message once they are closed, also by an answer to one in there', async () => {
    const closed = telegram.addTopic(forum.id)
    const { result } = await send({ message_thread_id: closed })
    const { message_id } = result as { message_id: number }
    telegram.closeTopic(forum.id, closed)
    const refused = { error_code: 400, description: 'Bad Request: TOPIC_CLOSED' }
    expect(await send({ message_thread_id: closed })).toMatchObject(refused)
    expect(await send({ reply_parameters: { message_id, allow_sending_without_reply: true } })).toMatchObject(refused)
    expect((await send({})).ok).toBe(true)
    telegram.closeTopic(forum.id, 1)
    expect(await send({})).toMatchObject(refused)
  })
})

it('a simulated group that became a supergroup is refused with its new id, and the new one counts from 1', async () => {
  const bot = await startTelegramSimulator({ limits: { chatMs: 0 } })
  bot.say(ADA, 'in private')
  bot.say(ADA, 'hello', { chat: { id: -5, type: 'group', title: 'Crew' } })
  bot.upgrade(ADA, -5, -1005)
  expect(await call('sendMessage', { chat_id: -5, text: 'a' }, bot)).toMatchObject({
    error_code: 400,
    description: 'Bad Request: group chat was upgraded to a supergroup chat',
    parameters: { migrate_to_chat_id: -1005 },
  })
  expect((await call('sendMessage', { chat_id: -1005, text: 'a' }, bot)).result).toMatchObject({ message_id: 2 })
  const { result } = await call('getUpdates', {}, bot)
  expect((result as { message: object }[]).slice(2)).toMatchObject([
    { message: { message_id: 1, chat: { id: -1005, type: 'supergroup' }, migrate_from_chat_id: -5 } },
    { message: { chat: { id: -5 }, migrate_to_chat_id: -1005 } },
  ])
  await bot.close()
})

describe('the updates of the simulated Bot API', () => {
  it('come again until their offset is confirmed, and only the kinds that were asked for', async () => {
    const bot = await startTelegramSimulator()
    const first = bot.say(ADA, 'one')
    const second = bot.say(ADA, 'two')
    const ids = async (params: object) =>
      ((await call('getUpdates', params, bot)).result as { update_id: number }[]).map(({ update_id }) => update_id)
    expect(await ids({})).toEqual([first, second])
    expect(await ids({ offset: second })).toEqual([second])
    expect(await ids({ offset: second + 1, allowed_updates: ['callback_query'] })).toEqual([])
    expect(bot.say(ADA, 'three')).toBeUndefined()
    await bot.close()
  })

  it('go to one poller, or to the webhook, never to both', async () => {
    const bot = await startTelegramSimulator()
    const first = call('getUpdates', { timeout: 20 }, bot)
    await expect.poll(() => bot.callsOf('getUpdates').length).toBe(1)
    const second = call('getUpdates', { timeout: 20 }, bot)
    expect(await first).toMatchObject({ error_code: 409, description: expect.stringContaining('other getUpdates') })
    await call('setWebhook', { url: 'http://127.0.0.1:9' }, bot)
    expect(await second).toMatchObject({ error_code: 409, description: expect.stringContaining('setWebhook') })
    expect((await call('getUpdates', {}, bot)).description).toContain('webhook is active')
    await bot.close()
  })

  it('carry presses of buttons, with what the bot put there', async () => {
    const bot = await startTelegramSimulator()
    bot.addChat({ id: 7, type: 'private' })
    const reply_markup = { inline_keyboard: [[{ text: 'Yes', callback_data: 'y' }]] }
    await call('sendMessage', { chat_id: 7, text: 'really?', reply_markup }, bot)
    const [message] = bot.sent(7)
    expect(buttonsOf(message!)).toEqual([{ text: 'Yes', callback_data: 'y' }])
    const id = bot.press(ADA, message!, 'Yes')
    const { result } = await call('getUpdates', {}, bot)
    expect(result).toMatchObject([{ callback_query: { id, data: 'y', from: { id: 7 } } }])
    await bot.close()
  })
})
