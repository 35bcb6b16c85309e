import { describe, expect, it } from 'vitest'
import { evaluate } from './evaluate.ts'
import { Unparsable } from './expression.ts'
import { NotANumber } from './rational.ts'

describe('an expression', () => {
  it.each([
    ['17 * 23', '391', true],
    ['0.1 + 0.2', '0.3', true],
    ['1_000 / 8', '125', true],
    ['2 ** 10', '1024', true],
    ['-2 ^ 2', '-4', true],
    ['2 ^ 3 ^ 2', '512', true],
    ['2 ^ -2', '0.25', true],
    ['10 mod 4', '2', true],
    ['-7 mod 3', '2', true],
    ['5!', '120', true],
    ['12.5% * 80', '10', true],
    ['1.5e3 + .5', '1500.5', true],
    ['sqrt(16) + sqrt(1/4)', '4.5', true],
    ['round(2.345, 2)', '2.35', true],
    ['round(-2.5)', '-3', true],
    ['floor(-1.5) + ceil(1.2)', '0', true],
    ['max(1, 7, 3) - min(4, 2)', '5', true],
    ['mean(1, 2, 3, 4)', '2.5', true],
    ['median(9, 1, 5)', '5', true],
    ['pow(2, 100)', '1267650600228229401496703205376', true],
    ['1 / 3', '0.333333333333', false],
    ['sqrt(2)', '1.414213562373', false],
    ['2 * pi', '6.28318530718', false],
    ['log(1000)', '3', false],
    ['log(8, 2)', '3', false],
    ['--3', '3', true],
    ['1e-20 / 3', '3.3333333333333333e-21', false],
  ])('%s', (expression, text, exact) => expect(evaluate(expression)).toMatchObject({ text, exact }))

  it.each([
    '',
    '3 +',
    '(1 + 2',
    '1 2',
    'foo(1)',
    'sqrt 4',
    '1 ; 2',
    'process.exit()',
    '__proto__',
    'constructor(1)',
    '"a"',
  ])('says where "%s" is no expression', (expression) => {
    expect(() => evaluate(expression)).toThrow(Unparsable)
  })

  it.each([
    '1 / 0',
    'sqrt(-1)',
    'ln(0)',
    '9 ^ 999 ^ 999',
    '((9 ^ 999) ^ 999) ^ 999',
    '0 ^ -1',
    '2.5!',
    'min()',
    '5!!!!',
  ])('%s has no value, and none is searched for', (expression) => {
    expect(() => evaluate(expression)).toThrow(/./)
  })

  it('keeps a number beside the digits, where a double has one', () => {
    expect(evaluate('2 ^ 0.5 * 0 + 1'.replace('2 ^ 0.5', 'pow(2, 0.5)')).number).toBe(1)
    expect(evaluate('9 ^ 400').number).toBeUndefined()
    expect(evaluate('10 ^ 300 / 10 ^ 299').number).toBe(10)
  })

  it('bears nesting that nobody writes', () => {
    expect(() => evaluate(`${'('.repeat(900)}1${')'.repeat(900)}`)).toThrow(Unparsable)
    expect(evaluate(`${'-'.repeat(900)}1`).text).toBe('1')
    expect(() => evaluate(Array(300).fill('2').join('^'))).toThrow(NotANumber)
  })
})
