import { existsSync } from 'node:fs'
import type { Browser as Chromium, Page } from 'playwright-core'
import { expect } from 'vitest'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The system's own Chromium, where one is installed; none is ever downloaded. */
export const chromiumPath: string | undefined = PLACES.find((path) => existsSync(path))

export interface Browser {
  page: Page
  /** What the page complained of: errors, warnings, refused by its own policy. */
  complaints: string[]
  /** Addresses of other machines that it asked for. */
  strangers: string[]
  [Symbol.asyncDispose](): Promise<void>
}

let launched: Promise<Chromium> | undefined

/** One process serves a file of tests. */
async function launch(): Promise<Chromium> {
  const { chromium } = await import('playwright-core')
  return chromium.launch({ ...(chromiumPath === undefined ? {} : { executablePath: chromiumPath }), args: ARGS })
}

/** Ends the process that `openBrowser` started. */
export async function closeBrowsers(): Promise<void> {
  await (await launched)?.close()
  launched = undefined
}

/** A window of its own, with nothing remembered: a new visitor. */
export async function openBrowser(viewport = { width: 1280, height: 800 }): Promise<Browser> {
  launched ??= launch().catch((error) => {
    launched = undefined
    throw error
  })
  const context = await (await launched).newContext({ viewport })
  const complaints: string[] = []
  const strangers: string[] = []
  const page = await context.newPage()
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    const { hostname } = new URL(request.url())
    if (hostname !== '' && hostname !== '127.0.0.1') strangers.push(request.url())
  })
  return {
    page,
    complaints,
    strangers,
    async [Symbol.asyncDispose]() {
      await context.close()
    },
  }
}

/** What every visit has to hold. */
export function expectClean({ complaints, strangers }: Browser): void {
  expect(complaints).toEqual([])
  expect(strangers).toEqual([])
}

/** Sends a message in the chat that is open. */
export async function ask(page: Page, message: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(message)
  await page.keyboard.press('Enter')
}
