import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buttonsOf, type Person, type SmtpSimulator, startSmtpSimulator } from '@agentos/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ADA, heard, type Installation, install, member, outbox, owner, WAIT } from './support/telegram.ts'

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
  beforeEach(() => {
    mails.received.length = 0
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

  it('shows what would hide or turn text round as what it is', async () => {
    const chief = await member(at, 'owner', 'Ada\u202e')
    const payload = { conversation: String(chief.id), agentId: 'clerk' }
    await at.system.client({ owner: true }).trigger({ function_id: 'channel::telegram::bind', payload })
    writes({ ...letter('Plain'), text: 'Pay \u202e001\u202c to \u2066me\u2069,\u200b now\u009b 👩‍👧' })
    at.telegram.say(chief, 'write to the harbour')
    const asked = await question(chief, 'Plain')
    expect(asked.text).toContain('Pay \\u202e001\\u202c to \\u2066me\\u2069,\\u200b now\\u009b 👩‍👧')
    expect(await settled(at.telegram.press(chief, asked, 'Deny'))).toBe('Denied by Ada\\u202e.')
    await expect.poll(() => at.telegram.texts(chief.id).at(-1), WAIT).toBe('The mail is sent.')
    expect(at.telegram.texts(chief.id).join('\n')).not.toMatch(/[\u202e\u2066\u200b\u009b]/)
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
    // The model answers when all are back.
    const back = Promise.withResolvers<void>()
    at.model.play({ text: 'The mail is sent.', midway: () => back.promise })
    expect(await settled(at.telegram.press(chief, asked, 'Approve'))).toBe('Approved by Member.')
    await expect.poll(() => at.model.requests.length, WAIT).toBe(1)
    await killAll()
    back.resolve()
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
