import { type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_LOCAL_MODELS } from './support/all-workers.ts'
import { ask, chromiumPath, closeBrowsers, expectClean, openBrowser } from './support/browser.ts'

if (chromiumPath === undefined) console.log('The page is not tested: no Chromium is installed here.')

const KEY = 'sk-test-a-key-that-must-not-stay'

let system: System
let provider: Simulator

const newCode = async (): Promise<string> =>
  (await system.api<{ code: string }>('POST', '/v1/auth/code', {}, { owner: true })).body.code

const span = (page: Page, name: string): Locator =>
  page.locator('.waterfall li', { has: page.locator('.span-name').getByText(name, { exact: true }) })

describe.skipIf(chromiumPath === undefined)('the page in a browser', () => {
  beforeAll(async () => {
    provider = await startOpenAiSimulator({ text: 'Hello from the model' }, { key: KEY })
    system = await startSystem({
      workers: ALL_WORKERS,
      env: NO_LOCAL_MODELS,
      config: { workers: [{ name: 'llm-router', config: { providers: { openai: { baseUrl: provider.url } } } }] },
    })
  })
  afterAll(async () => {
    await closeBrowsers()
    await system?.stop()
    await provider?.close()
  })

  it('lets the owner in with the code of the address, and takes it out of there', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/#code=${await newCode()}`)
    await page.getByText('Owner', { exact: true }).waitFor()
    expect(page.url()).toBe(`${system.httpUrl}/`)
    // The cookie is enough from now on.
    await page.reload()
    await page.getByText('Owner', { exact: true }).waitFor()
    expectClean(browser)
  })

  it('streams an answer, and shows what it took from the request to the model', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/`)
    await page.getByText('no model connected').waitFor()
    await ask(page, 'What is 17 times 23?')
    const answer = page.locator('.answer')
    await answer.getByText('391').waitFor()
    await answer.locator('footer').getByText('demo/rules').waitFor()
    // A span of a worker's own may come a moment after the answer.
    await span(page, 'model demo/rules').waitFor()
    const names = await page.locator('.waterfall .span-name').allTextContents()
    expect(names.slice(0, 2)).toEqual(['POST /v1/chat', 'agent::chat'])
    expect(names).toEqual(expect.arrayContaining(['memory::recall', 'memory::session::append', 'llm::complete']))
    expect(names.indexOf('model demo/rules')).toBe(names.indexOf('llm::complete') + 1)
    await span(page, 'model demo/rules').locator('.span-ms').getByText(/\d ms/).waitFor()
    await span(page, 'model demo/rules').getByText('0 in, 0 out · $0.00').waitFor()
    expectClean(browser)
  })

  it('keeps conversations and shows them again', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/`)
    await ask(page, 'Remember that my boat is called Nautilus')
    await page.locator('.answer footer').waitFor()
    await page.getByRole('button', { name: 'New conversation' }).click()
    await page.getByRole('heading', { name: 'What would you like to know?' }).waitFor()
    await page.getByRole('button', { name: /Remember that my boat/ }).click()
    await page.locator('.question', { hasText: 'Remember that my boat is called Nautilus' }).waitFor()
    await page.locator('.function-use', { hasText: 'memory::store' }).waitFor()
    expectClean(browser)
  })

  it('looks into the realm of guests as the owner chooses, and back', async () => {
    await system.api('POST', '/v1/chat', { message: 'Remember that my lamp is called Pharos' })
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/#code=${await newCode()}`)
    await page.getByLabel('Realm').selectOption('realm-guest')
    await page.getByRole('button', { name: /Remember that my lamp/ }).waitFor()
    // The choice is this tab's, over a reload.
    await page.reload()
    await page.getByRole('button', { name: /Remember that my lamp/ }).waitFor()
    await page.getByLabel('Realm').selectOption('realm-default')
    await page.getByRole('heading', { name: 'What would you like to know?' }).waitFor()
    expect(await page.getByRole('button', { name: /Remember that my lamp/ }).count()).toBe(0)
    expectClean(browser)
  })

  it('calls a function through the form made from its schema', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/#code=${await newCode()}`)
    await page.getByText('Owner', { exact: true }).waitFor()
    await page.goto(`${system.httpUrl}/#functions`)
    await page.getByRole('searchbox').fill('realm create')
    await page.getByRole('link', { name: 'realm::create' }).click()
    await page.getByRole('button', { name: 'Call' }).click()
    await page.getByText('This has to be given.').first().waitFor()
    await page.getByRole('textbox', { name: /^name/ }).fill('Atelier')
    await page.getByRole('button', { name: 'Call' }).click()
    const result = page.getByRole('region', { name: 'Result' })
    await result.getByText('"Atelier"').waitFor()
    await result.getByText('Trace', { exact: true }).click()
    await span(page, 'realm::create').waitFor()
    const { body } = await system.api<unknown>('GET', '/v1/realms', undefined, { owner: true })
    expect(JSON.stringify(body)).toContain('Atelier')
    expectClean(browser)
  })

  it('tells a guest that keys and owner functions want the code, and takes it', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/#models`)
    expect(await page.getByLabel('Key for openai').isDisabled()).toBe(true)
    await page.goto(`${system.httpUrl}/#functions/${encodeURIComponent('engine::traces::clear')}`)
    await page.getByRole('button', { name: 'Call' }).click()
    const refusal = page.getByRole('alert')
    await refusal.getByText('forbidden', { exact: true }).waitFor()
    await refusal.getByRole('button', { name: 'Enter the one-time code' }).click()
    await page.getByLabel('Code', { exact: true }).fill('WRNG-WRNG-WRNG')
    await page.keyboard.press('Enter')
    await page.getByText('This code is wrong, used or expired').waitFor()
    await page.getByLabel('Code', { exact: true }).fill((await newCode()).toLowerCase())
    await page.keyboard.press('Enter')
    await page.getByText('Owner', { exact: true }).waitFor()
    expect(browser.strangers).toEqual([])
  })

  it('takes a key, forgets it, and talks to the model; an answer can be stopped while its trace grows', async () => {
    await using browser = await openBrowser()
    const { page } = browser
    await page.goto(`${system.httpUrl}/#code=${await newCode()}`)
    await page.getByRole('link', { name: 'Models', exact: true }).click()
    const card = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: 'openai' }) })
    await card.getByLabel('Key for openai').fill(KEY)
    await card.getByRole('button', { name: 'Save' }).click()
    await card.getByText('It answers').waitFor()
    await page.getByRole('region', { name: 'Model in use' }).getByText('openai/').waitFor()
    expect(await card.getByLabel('Key for openai').inputValue()).toBe('')
    expect(await page.content()).not.toContain(KEY)

    provider.play({ text: 'One two three four', fault: { kind: 'stall' } })
    await page.getByRole('link', { name: 'Chat', exact: true }).click()
    await ask(page, 'Count')
    await page.locator('.answer').getByText('One').waitFor()
    await span(page, 'memory::recall').waitFor()
    expect(await span(page, 'POST /v1/chat').getAttribute('data-open')).toBe('true')
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.locator('.answer').getByText('Stopped.').waitFor()
    await expect.poll(() => provider.answering).toBe(0)
    await page.locator('.waterfall [data-failed="true"]').first().waitFor()

    provider.play({ text: 'Hello from the model' })
    await ask(page, 'Hello?')
    await page.getByText('Hello from the model').waitFor()

    await page.getByRole('link', { name: 'Models', exact: true }).click()
    await card.getByRole('button', { name: 'Remove key' }).click()
    await page.getByText('No model is connected.').waitFor()
    expectClean(browser)
  })

  it('has room on a telephone', async () => {
    await using browser = await openBrowser({ width: 390, height: 844 })
    const { page } = browser
    await page.goto(`${system.httpUrl}/`)
    await ask(page, 'What is 17 times 23?')
    await page.locator('.answer footer').getByRole('button', { name: 'Trace' }).click()
    await span(page, 'agent::chat').waitFor()
    for (const view of ['#chat', '#functions', '#models']) {
      await page.goto(`${system.httpUrl}/${view}`)
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), view).toBe(true)
    }
    expectClean(browser)
  })
})
