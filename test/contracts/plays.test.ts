/** The command line against a server, as files that read like a terminal: fixtures/ctl/plays. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/paths.ts'
import { type ServerInPlace, serverInPlace } from '../harness/server-in-place.ts'

interface Run {
  readonly line: number
  readonly words: readonly string[]
  input: string
  readonly files: Map<string, string>
  readonly stdout: string[]
  readonly stderr: string[]
  code: number
}

/** Words as a shell cuts them: quotes keep them together. */
function shellWords(text: string): string[] {
  return [...text.matchAll(/(?:"([^"]*)"|'([^']*)'|(\S+))/g)].map(
    ([, double, single, plain]) => double ?? single ?? plain ?? '',
  )
}

function parsePlay(text: string): Run[] {
  const runs: Run[] = []
  let input = ''
  let files = new Map<string, string>()
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? ''
    const run = runs.at(-1)
    if (line.startsWith('$ ')) {
      runs.push({
        line: i + 1,
        words: shellWords(line.slice(2)),
        input,
        files,
        stdout: [],
        stderr: [],
        code: 0,
      })
      input = ''
      files = new Map()
    } else if (line.startsWith('< ')) {
      input += `${line.slice(2)}\n`
    } else if (line.startsWith('> ')) {
      const end = lines.indexOf('.', i)
      files.set(line.slice(2), `${lines.slice(i + 1, end).join('\n')}\n`)
      i = end
    } else if (line.startsWith('! ') && run) {
      run.code = Number(line.slice(2))
    } else if (line.startsWith('2> ') && run) {
      run.stderr.push(line.slice(3))
    } else if (!line.startsWith('# ') && run) {
      run.stdout.push(line.replaceAll('⇥', '\t'))
    }
  }
  // Empty lines before a comment or a run are for the reader when the output ends without one.
  return runs
}

function expectation(lines: readonly string[]): RegExp {
  const text = lines.map((line) => `${line}\n`).join('')
  const source = text
    .split(/(~[^~]+~)/)
    .map((part) =>
      part.startsWith('~') && part.endsWith('~') && part.length > 2
        ? part.slice(1, -1).replaceAll('(?s).*', '[^]*')
        : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
    )
    .join('')
  return new RegExp(`^${source}$`)
}

async function play(server: ServerInPlace, run: Run): Promise<void> {
  for (const [name, text] of run.files) writeFileSync(server.folder.file(name), text)
  const result = await server.ctl(run.words, { input: run.input })
  const said = `line ${run.line}: ${run.words.join(' ')}\n${result.stdout}2> ${result.stderr}! ${result.code}`
  const wantsBlank = run.stdout.at(-1) === '' && !result.stdout.endsWith('\n\n')
  const stdout = wantsBlank ? run.stdout.slice(0, -1) : run.stdout
  expect(result.stdout, said).toMatch(expectation(stdout))
  expect(result.stderr, said).toMatch(expectation(run.stderr))
  expect(result.code, said).toBe(run.code)
}

const plays = join(root, 'fixtures/ctl/plays')
for (const name of readdirSync(plays).filter((file) => file.endsWith('.play'))) {
  test(name, async () => {
    const server = await serverInPlace({
      hosts: ['localhost', 'plain.example'],
      host_config: { 'plain.example': { auth_password_format: 'plain' } },
    })
    try {
      for (const run of parsePlay(readFileSync(join(plays, name), 'utf8'))) await play(server, run)
    } finally {
      await server.stop()
    }
  })
}
