import {
  type Simulator,
  type SmtpSimulator,
  Supervised,
  startOpenAiSimulator,
  startSmtpSimulator,
} from '@agentos/testing'
import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS } from './support/all-workers.ts'
import { ask, type Browser, chromiumPath, closeBrowsers, expectClean, openBrowser } from './support/browser.ts'

if (chromiumPath === undefined) console.log('The page is not tested: no Chromium is installed here.')

const LONG = { timeout: 30_000 }
const LETTER = { to: 'harbour@example.com', subject: 'Hours', text: 'We close at nine.' }
/** Micro-dollars per token, and what an answer of the simulator takes. */
const PRICE = { input: 100, output: 100 }
const USAGE = { input: 100, output: 100 }
const OFTEN = { type: 'cron', function_id: 'realm::purge_expired', config: { expression: '* * * * * *' } }

let model: Simulator
let mails: SmtpSimulator
let system: Supervised

const newCode = async (): Promise<string> => (await system.api<{ code: string }>('POST', '/v1/auth/code', {})).body.code

/** The page as its owner sees it. */
async function openAsOwner(viewport?: { width: number; height: number }): Promise<Browser> {
  const browser = await openBrowser(viewport)
  await browser.page.goto(`${system.httpUrl}/#code=${await newCode()}`)
  await browser.page.getByRole('button', { name: 'Sign out' }).waitFor()
  return browser
}

const view = (page: Page, name: string): Promise<void> =>
  page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name }).click()

const answer = (page: Page): Locator => page.locator('.answer').last()
const panel = (page: Page): Locator => page.getByRole('region', { name: 'Run', exact: true })
const step = (page: Page, name: string): Locator =>
  panel(page).locator('.steps > li', { has: page.locator('.step-name > code').getByText(name, { exact: true }) })
const status = (page: Page): Locator => panel(page).locator('h2 .badge')

async function addAgent(id: string, grant: string): Promise<void> {
  const { status: code } = await system.api('POST', '/v1/agents', {
    id,
    name: id,
    capabilities: { functions: [grant] },
  })
  // It is there already where a test is tried again.
  expect([201, 409]).toContain(code)
}

/** Asks an agent that is not the default one, in a new conversation. */
async function askAgent(page: Page, agent: string, message: string): Promise<void> {
  await page.getByRole('combobox', { name: 'Agent' }).selectOption(agent)
  await ask(page, message)
}

describe.skipIf(chromiumPath === undefined)('the runs in a browser', () => {
  beforeAll(async () => {
    ;[model, mails] = await Promise.all([startOpenAiSimulator({ text: 'Hello' }), startSmtpSimulator()])
    system = await Supervised.start({
      workers: ALL_WORKERS,
      manifests: { realm: { triggers: [OFTEN] } },
      env: { OPENAI_API_KEY: model.key, SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' },
      agentos: { allowed_hosts: ['127.0.0.1'] },
      entries: [
        {
          name: 'llm-router',
          config: {
            providers: { openai: { baseUrl: model.url } },
            default: 'openai/test-model',
            prices: { 'openai/test-model': PRICE },
          },
        },
        { name: 'toolbox', config: { allow_private: ['127.0.0.0/8'] } },
      ],
    })
  })
  afterAll(async () => {
    await closeBrowsers()
    await system?.stop()
    await Promise.all([model?.close(), mails?.close()])
  })

  it('shows the owner what a schedule did, and the trace of it, and a guest nothing', async () => {
    await using browser = await openAsOwner()
    const { page } = browser
    await view(page, 'Schedules')
    const firings = page.getByRole('navigation', { name: 'Schedules' }).getByRole('link')
    await firings.filter({ hasText: 'realm::purge_expired' }).first().click()
    const firing = page.getByRole('region', { name: 'Firing', exact: true })
    await firing.locator('.waterfall .span-name').getByText('realm::purge_expired', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await view(page, 'Schedules')
    await page.getByText('No schedule has fired').waitFor()
    expectClean(browser)
  })

  it('an answer leads to its run: each step with its time, its tokens and its cost', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    model.play({ text: 'It is open until nine.', usage: USAGE })
    await page.goto(`${system.httpUrl}/`)
    await ask(page, 'When does the harbour close?')
    await answer(page).getByRole('link', { name: 'Run' }).click()
    await status(page).getByText('done', { exact: true }).waitFor()
    await panel(page).locator('.totals').getByText('200 tokens').waitFor()
    await panel(page).locator('.totals').getByText('$0.02').waitFor()
    const complete = step(page, 'llm::complete')
    await complete.getByText('200 tokens').waitFor()
    await complete.getByText('$0.02').waitFor()
    await complete
      .locator('.step-state')
      .getByText(/^[\d.]+ m?s$/)
      .waitFor()
    await step(page, 'begin').getByText('work').waitFor()
    await complete.locator('summary').click()
    await complete.locator('pre').getByText('"It is open until nine."').first().waitFor()
    await panel(page).getByText('Input', { exact: true }).click()
    await panel(page).locator('pre').getByText('"When does the harbour close?"').first().waitFor()
    await panel(page).getByText('Result', { exact: true }).click()
    await panel(page).locator('details', { hasText: 'Result' }).getByText('"stopReason": "stop"').waitFor()
    // A guest sees it, and may neither replay nor kill.
    expect(await panel(page).getByRole('button', { name: 'Replay' }).isDisabled()).toBe(true)
    expectClean(browser)
  })

  it('goes on when its process is killed from the page in mid-answer, and a replay is the same', async () => {
    await using browser = await openAsOwner()
    const { page } = browser
    const text = Array.from({ length: 40 }, (_, n) => `word${n}`).join(' ')
    // The model stands still in the middle until the next process has the run.
    const handedOver = Promise.withResolvers<void>()
    model.play({ text, midway: () => handedOver.promise })
    const before = (await system.process('agent-core'))!
    await ask(page, 'Count the words')
    await answer(page).getByText('word1').waitFor()
    await view(page, 'Runs')
    await status(page).getByText('running').waitFor()
    await step(page, 'llm::complete').getByText('under way').waitFor()
    await panel(page).getByRole('button', { name: 'Kill agent-core' }).click()
    await panel(page).getByText('Handed over 2 times').waitFor(LONG)
    handedOver.resolve()
    await status(page).getByText('done', { exact: true }).waitFor(LONG)
    const after = (await system.process('agent-core'))!
    expect(after).toMatchObject({ restarts: before.restarts + 1, reason: 'ended by SIGKILL' })
    // What was recorded before the crash and what came after it name their processes.
    await step(page, 'begin').getByText(`process ${before.pid}`).waitFor()
    await step(page, 'llm::complete').getByText(`process ${after.pid}`).waitFor()
    await view(page, 'Chat')
    await answer(page).locator('footer').waitFor()
    expect(await answer(page).locator('.markdown').allTextContents()).toEqual([text])

    await answer(page).getByRole('link', { name: 'Run' }).click()
    await panel(page).getByRole('button', { name: 'Replay' }).click()
    await panel(page).getByText('The replay is the same: every step, and the result.').waitFor(LONG)
    expect(model.requests).toHaveLength(1)
    const [id] = /run-[\w-]+/.exec(page.url())!
    const told = await system.agentos('run', id)
    expect(told.text).toMatch(/agent::chat +done .*2 attempts/)
    expect(told.text).toMatch(/call +llm::complete +done +\d+ ms/)
    expect(await system.agentos('replay', id, '--check')).toMatchObject({ code: 0 })
    expect((await system.agentos('runs')).text).toMatch(/replay done/)
    expectClean(browser)
  })

  it('takes an approval, and then the mail goes out once and the answer comes by itself', async () => {
    await addAgent('clerk', 'fn::*')
    const before = mails.connections
    mails.received.length = 0
    await using browser = await openAsOwner()
    const { page } = browser
    model.play([{ toolCalls: [{ name: 'fn__email_send', arguments: LETTER }] }, { text: 'The mail is out.' }])
    await askAgent(page, 'clerk', 'Tell the harbour when we close')
    const note = answer(page).locator('.note')
    await note.getByText('waits for your approval').waitFor()
    await page.locator('.count').getByText('1').waitFor()
    await note.getByRole('link', { name: 'Decide it' }).click()
    const request = page.getByRole('listitem', { name: 'fn::email_send for clerk' })
    await request.locator('pre').getByText('We close at nine.').waitFor()
    expect(mails.connections).toBe(before)
    await request.getByRole('link', { name: 'The run that waits' }).click()
    await status(page).getByText('waiting (approval)').waitFor()
    await step(page, 'fn::email_send').getByText('waits').waitFor()
    await view(page, 'Approvals')
    await request.getByRole('button', { name: 'Approve once' }).click()
    await page.getByText('approved and used').waitFor(LONG)
    await page.locator('.count').waitFor({ state: 'detached' })
    await view(page, 'Chat')
    await answer(page).getByText('The mail is out.').waitFor(LONG)
    expect(await note.count()).toBe(0)
    expect(await answer(page).locator('.function-use').getAttribute('data-state')).toBe('ok')
    expect(mails.received).toMatchObject([{ to: [LETTER.to] }])

    model.play([{ toolCalls: [{ name: 'fn__email_send', arguments: LETTER }] }, { text: 'Then not.' }])
    await ask(page, 'Once more')
    await note.getByRole('link', { name: 'Decide it' }).click()
    await request.getByRole('button', { name: 'Deny' }).click()
    await view(page, 'Chat')
    await answer(page).getByText('Then not.').waitFor(LONG)
    expect(await answer(page).locator('.function-use').getAttribute('data-state')).toBe('failed')
    expect(mails.received).toHaveLength(1)
    expectClean(browser)
  })

  it('asks what became of a call whose process went, and goes on as it is told', async () => {
    await addAgent('pilot', 'crane::*')
    await system.api('POST', '/v1/approvals/policy', { agentId: 'pilot', allow: ['crane::*'] })
    const crane = system.client({ owner: true })
    const lifted = Promise.withResolvers<void>()
    crane.registerFunction(
      'crane::lift',
      () => {
        lifted.resolve()
        return new Promise(() => {})
      },
      { description: 'Lifts', metadata: { effects: 'write' } },
    )
    const payload = { search: 'crane::lift' }
    const listed = async () => JSON.stringify(await crane.trigger({ function_id: 'engine::functions::list', payload }))
    await expect.poll(listed).toContain('crane::lift')
    await using browser = await openAsOwner()
    const { page } = browser
    model.play([{ toolCalls: [{ name: 'crane__lift', arguments: { boat: 'Nautilus' } }] }, { text: 'She is up.' }])
    await askAgent(page, 'pilot', 'Lift her')
    await lifted.promise
    await crane.shutdown()
    const note = answer(page).locator('.note')
    await note.getByText('Nobody knows whether crane::lift took effect').waitFor(LONG)
    await note.getByRole('link').click()
    const question = page.getByRole('region', { name: 'In doubt' })
    await question.locator('pre').getByText('Nautilus').waitFor()
    expect(await question.getByRole('button').allTextContents()).toEqual([
      'It took effect',
      'It did not: send it again',
      'Go on without it',
    ])
    const [id] = /run-[\w-]+/.exec(page.url())!
    expect((await system.agentos('run', id)).text).toContain(`npm run agentos -- run ${id} --answer done`)
    await question.getByRole('button', { name: 'It took effect' }).click()
    await status(page).getByText('done', { exact: true }).waitFor(LONG)
    await view(page, 'Chat')
    await answer(page).getByText('She is up.').waitFor()
    expectClean(browser)
  })

  it('cancels a run that is under way', async () => {
    await using browser = await openAsOwner()
    const { page } = browser
    model.play({ text: 'One two three', fault: { kind: 'stall' } })
    await ask(page, 'Count for ever')
    await answer(page).getByText('One').waitFor()
    await view(page, 'Runs')
    await panel(page).getByRole('button', { name: 'Cancel' }).click()
    await status(page).getByText('cancelled').waitFor()
    await expect.poll(() => model.answering).toBe(0)
    expectClean(browser)
  })

  it('shows the budget that guests have by default, which nobody removes', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/`)
    await view(page, 'Budgets')
    const card = page.getByRole('listitem', { name: 'Budget of This realm' })
    await card.getByText('of $5.00').waitFor()
    await card.getByText('default', { exact: true }).waitFor()
    expect(await card.getByRole('button', { name: 'Remove' }).count()).toBe(0)
    expectClean(browser)
  })

  it('sets a budget, whose meter moves with what is spent, and removes it', async () => {
    await using browser = await openAsOwner()
    const { page } = browser
    await view(page, 'Budgets')
    await page.getByText('No budget is set').waitFor()
    await page.getByLabel('Dollars').fill('2.5')
    await page.getByRole('button', { name: 'Set', exact: true }).click()
    const card = page.getByRole('listitem', { name: 'Budget of This realm' })
    await card.getByText('$0.00 of $2.50').waitFor()
    const spent = async () => (await card.locator('.meter .spent').boundingBox())?.width ?? 0
    expect(await spent()).toBe(0)
    model.play({ text: 'Hello', usage: { input: 4_000, output: 1_000 } })
    await view(page, 'Chat')
    await ask(page, 'Hello?')
    await answer(page).locator('footer').waitFor()
    await view(page, 'Budgets')
    await card.getByText('$0.50 of $2.50').waitFor()
    const whole = (await card.locator('.meter').boundingBox())!.width
    expect((await spent()) / whole).toBeCloseTo(0.2, 1)
    await card.getByRole('button', { name: 'Remove' }).click()
    await page.getByText('No budget is set').waitFor()
    expectClean(browser)
  })

  it('says below an answer which budget cut it off', async () => {
    const limit = { limitMicroUsd: 500_000 }
    const { body: budget } = await system.api<{ id: string }>('POST', '/v1/budgets', limit, { owner: true })
    await using browser = await openAsOwner()
    const { page } = browser
    model.play(({ body }) => {
      const output = Number(body.max_completion_tokens ?? body.max_tokens)
      return { text: 'Once', stop: 'length', usage: { input: 1, output } }
    })
    await view(page, 'Chat')
    await ask(page, 'A novel, please')
    await answer(page).getByText('budget_exceeded').waitFor()
    await answer(page).getByText('The budget of the realm realm-default ($0.50 per month)').waitFor()
    await answer(page).getByText('cut off at the end of its budget').waitFor()
    await system.api('DELETE', `/v1/budgets/${budget.id}`, undefined, { owner: true })
    expectClean(browser)
  })

  it('has room on a telephone, and shows a guest only what is a guest’s', async () => {
    await using browser = await openBrowser({ width: 390, height: 844 })
    const { page } = browser
    for (const name of ['runs', 'approvals', 'budgets']) {
      await page.goto(`${system.httpUrl}/#${name}`)
      await page.locator('main').waitFor()
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), name).toBe(true)
    }
    await page.goto(`${system.httpUrl}/#runs`)
    await page.locator('.run-list a').first().click()
    await step(page, 'llm::complete').first().waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    await page.goto(`${system.httpUrl}/#approvals`)
    await page.getByText('You are a guest here').waitFor()
    expect(await page.getByRole('button', { name: 'Approve once' }).count()).toBe(0)
    expectClean(browser)
  })
})
