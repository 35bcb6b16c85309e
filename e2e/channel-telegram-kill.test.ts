import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  ADA,
  answers,
  asked,
  BOB,
  EVE,
  echo,
  fresh,
  heard,
  type Installation,
  install,
  lastSaid,
  member,
  outbox,
  WAIT,
} from './support/telegram.ts'

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
  beforeAll(async () => {
    // Answers go out whole: which request of a message is interrupted is then known.
    at = await install({ webhook: mode === 'webhook', settings: { stream: false } })
    if (mode === 'webhook') await vi.waitUntil(() => at.telegram.updates.webhook !== undefined, WAIT)
  })
  afterAll(() => at?.stop())
  beforeEach(() => at.model.play(echo))

  const newQuestion = (): string => fresh(`question ${mode}`)
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
    const message = newQuestion()
    at.model.play({ text: `re: ${message}`, delayMs: 200 })
    at.telegram.say(BOB, message)
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await kill(victim)
    await revive(victim)
    await expect.poll(() => answers(at, BOB.id, message).length, WAIT).toBe(1)
    expect(at.model.requests.length).toBeLessThanOrEqual(requests)
    expect(await remembered(at, BOB.id, message)).toBe(1)
    at.model.play(echo)
    const after = newQuestion()
    at.telegram.say(BOB, after)
    await expect.poll(() => answers(at, BOB.id, after).length, WAIT).toBe(1)
    expect(answers(at, BOB.id, message)).toHaveLength(1)
    await expect.poll(() => outbox(at), WAIT).toEqual([])
  })

  it.each(['worker', 'engine'] as const)(
    'of the %s after the answer was computed and before it is sent: it is sent, and not computed again',
    async (victim) => {
      const message = newQuestion()
      // Again and again, so that it is not sent before the kill, however late that is.
      at.telegram.play('sendMessage', ...Array(50).fill({ kind: 'refuse', code: 429, retryAfter: 1 }))
      at.telegram.say(BOB, message)
      const refused = { text: `re: ${message}`, reason: expect.stringContaining('429') }
      await expect.poll(() => outbox(at, 'pending'), WAIT).toMatchObject([refused])
      await kill(victim)
      at.telegram.recover()
      expect(answers(at, BOB.id, message)).toEqual([])
      await revive(victim)
      await expect.poll(() => answers(at, BOB.id, message), WAIT).toEqual([`re: ${message}`])
      expect(asked(at, message)).toBe(1)
      await expect.poll(() => outbox(at), WAIT).toEqual([])
    },
  )

  it('of the worker while a message is on its way: it is in doubt, asked about, and not sent again', async () => {
    const message = newQuestion()
    const gate = at.telegram.gate('sendMessage')
    at.telegram.say(EVE, message)
    await gate.reached
    await kill('worker')
    gate.release()
    await revive('worker')
    await expect.poll(() => at.telegram.texts(EVE.id).at(-1), WAIT).toContain('Did it arrive?')
    expect((await outbox(at, 'in_doubt')).map(({ text }) => text)).toContain(`re: ${message}`)
    const after = newQuestion()
    at.telegram.say(EVE, after)
    await expect.poll(() => answers(at, EVE.id, after).length, WAIT).toBe(1)
    expect(answers(at, EVE.id, message)).toHaveLength(1)
    expect(asked(at, message)).toBe(1)
    const question = at.telegram.sent(EVE.id).findLast(({ text }) => text?.includes('Did it arrive?'))!
    at.telegram.press(EVE, question, 'It arrived')
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    expect(answers(at, EVE.id, message)).toHaveLength(1)
  })

  it('of the engine while a message is on its way: it arrives once, and that is known', async () => {
    const message = newQuestion()
    const gate = at.telegram.gate('sendMessage')
    at.telegram.say(EVE, message)
    await gate.reached
    await kill('engine')
    gate.release()
    await revive('engine')
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    expect(answers(at, EVE.id, message)).toHaveLength(1)
    const after = newQuestion()
    at.telegram.say(EVE, after)
    await expect.poll(() => answers(at, EVE.id, after).length, WAIT).toBe(1)
    expect(answers(at, EVE.id, message)).toHaveLength(1)
  })

  it.each(['worker', 'engine'] as const)(
    'of the %s before a message was stored: it is answered later',
    async (victim) => {
      const message = newQuestion()
      await kill(victim)
      at.telegram.say(ADA, message)
      await revive(victim)
      await expect.poll(() => answers(at, ADA.id, message), WAIT).toEqual([`re: ${message}`])
      await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    },
  )

  it('of the worker after a message was stored and before that was confirmed: it is answered once', async () => {
    const message = newQuestion()
    if (mode === 'webhook') at.door!.swallow = 1
    at.telegram.say(ADA, message)
    const update = at.telegram.updates.waiting.at(-1)!
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await kill('worker')
    if (!at.telegram.updates.waiting.includes(update)) at.telegram.updates.repeat(update, `chat/${ADA.id}`)
    await revive('worker')
    await expect.poll(() => answers(at, ADA.id, message).length, WAIT).toBe(1)
    await expect.poll(() => at.telegram.updates.waiting, WAIT).toEqual([])
    const after = newQuestion()
    at.telegram.say(ADA, after)
    await expect.poll(() => answers(at, ADA.id, after).length, WAIT).toBe(1)
    expect(answers(at, ADA.id, message)).toHaveLength(1)
  })

  it('of worker and engine again and again, while three chats write: all in order, none twice without doubt', {
    timeout: 120_000,
  }, async () => {
    const people = [ADA, BOB, EVE]
    const questions = Array.from({ length: 8 }, () => newQuestion())
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
  let at: Installation
  beforeAll(async () => {
    at = await install()
  })
  afterAll(() => at?.stop())

  it.each(['worker', 'engine', 'llm-router'] as const)('of the %s: it goes on in the same message', async (victim) => {
    const person = await member(at)
    const beginning = Array.from({ length: 30 }, (_, n) => `word${n}`).join(' ')
    // Both stories stand still in their middle until somebody has seen the first half.
    const [back, seen] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    at.model.play({ text: beginning, delayMs: 20, midway: () => back.promise })
    at.telegram.say(person, 'tell me a story')
    await expect.poll(() => heard(at, person).length, WAIT).toBe(1)
    // Until its confirmation is on disk it would be in doubt.
    await expect.poll(() => outbox(at), WAIT).toEqual([])
    const { engine, workers } = at.system
    const child = victim === 'engine' ? engine : workers[victim === 'worker' ? 'channel-telegram' : victim]!
    await child.kill()
    // Who only showed it missed a part; who was asking asks anew, and what came before is void.
    const anew = Array.from({ length: 30 }, (_, n) => `anew${n}`).join(' ')
    const whole = victim === 'worker' ? beginning : anew
    at.model.play({ text: anew, delayMs: 20, midway: () => seen.promise })
    await child.start()
    await at.system.ready()
    back.resolve()
    if (victim === 'llm-router') {
      await expect.poll(() => heard(at, person)[0], WAIT).toMatch(/^anew/)
      expect(heard(at, person)[0]).not.toBe(anew)
    }
    seen.resolve()
    await expect.poll(() => heard(at, person), WAIT).toEqual([whole])
    // Two of them were about the pairing.
    const sent = at.telegram.callsOf('sendMessage').filter(({ params }) => params.chat_id === person.id)
    expect(sent).toHaveLength(3)
    await expect.poll(() => outbox(at), WAIT).toEqual([])
  })
})
