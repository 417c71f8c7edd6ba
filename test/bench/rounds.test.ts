/** The arithmetic of the benchmarks: a wrong ratio would be believed. */
import { expect, test } from 'vitest'
import { type Contestant, median, Rounds } from '../../bench/rounds.ts'
import { figure, format } from '../../bench/table.ts'

/** A contestant that gives these figures, round after round. */
function scripted(name: string, values: readonly number[], order: string[] = []): Contestant {
  let round = 0
  return {
    name,
    measure: () => {
      order.push(name)
      return Promise.resolve({ speed: values[round++] ?? Number.NaN })
    },
  }
}

test('the median is the middle value, or between the two', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('every round measures everybody, and begins with another one', async () => {
  const order: string[] = []
  await Rounds.run([scripted('a', [1, 1], order), scripted('b', [1, 1], order)], 2)
  expect(order).toEqual(['a', 'b', 'b', 'a'])
})

test('ratios are taken within a round, so that a slow moment of the machine does not count', async () => {
  const rounds = await Rounds.run([scripted('ours', [20, 2, 22]), scripted('theirs', [10, 1, 10])], 3)
  expect(rounds.figure('ours', 'speed')).toBe(20)
  expect(rounds.ratio('ours', 'theirs', 'speed')).toBe(2)
  expect(rounds.ratio('ours', 'absent', 'speed')).toBeUndefined()
})

test('rounds that lie far apart are called noise, by name', async () => {
  const rounds = await Rounds.run([scripted('calm', [10, 11, 10]), scripted('wild', [10, 20, 12])], 3)
  expect(rounds.noise(['speed'])).toEqual(['the machine was noisy: rounds of wild, speed, differ by 83 %'])
})

test('tables line up, and say what is missing', () => {
  const table = {
    columns: ['what', 'ours'],
    rows: [
      ['a long name', figure(12_345)],
      ['b', figure(undefined)],
    ],
    notes: ['no peer'],
  }
  expect(format(table)).toBe(
    ['what           ours', 'a long name  12,300', 'b                 -', '! no peer'].join('\n'),
  )
})
