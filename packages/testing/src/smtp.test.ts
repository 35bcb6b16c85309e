import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { startSmtpSimulator } from './smtp.ts'

/** Says each line and resolves with what the server answered, when it closes. */
async function talk(url: string, lines: string[], end = '\r\n'): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  let heard = ''
  socket.setEncoding('utf8')
  socket.on('data', (data) => {
    heard += data
  })
  socket.write(lines.map((line) => line + end).join(''))
  await new Promise((resolve) => socket.on('close', resolve))
  return heard
}

it('takes a message as it was meant, and says so', async () => {
  const server = await startSmtpSimulator()
  const envelope = ['EHLO me', 'MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']
  const message = ['From: a', 'Date: now', 'Message-ID: <1>', 'Subject: x', ' y', '', '..dot', '.']
  const heard = await talk(server.url, [...envelope, ...message, 'QUIT'])
  expect(heard).toContain('250 2.0.0 taken')
  expect(server.received).toMatchObject([{ from: 'a@b.c', to: ['d@e.f'], body: '.dot' }])
  expect(server.received[0]!.headers.get('subject')).toBe('x y')
  expect(server.violations).toEqual([])
  await server.close()
})

it('refuses what is out of order, unknown, without CR LF or without a login', async () => {
  const server = await startSmtpSimulator({ login: { user: 'u', password: 'p' } })
  await talk(server.url, ['MAIL FROM:<a@b.c>'])
  await talk(server.url, ['HELLO me'])
  await talk(server.url, ['EHLO me'], '\n')
  expect(server.violations).toEqual(['MAIL before EHLO', 'an unknown command: HELLO', 'a line without CR LF'])
  expect(await talk(server.url, ['EHLO me', 'AUTH PLAIN x', 'MAIL FROM:<a@b.c>', 'QUIT'])).toMatch(/535[\s\S]*530/)
  await server.close()
})
