/** `help`, `help NAME`, `help GLOB`, `help --tags [TAG]`. */
import type { Description } from '../server-core/admin/control-protocol.ts'
import { NoServer } from './client.ts'
import { exit } from './exit.ts'
import { didYouMean, list, matching, overview, pages, tagList, withLocal } from './help.ts'
import { localCommands } from './local.ts'
import type { Program } from './run.ts'

export async function runHelp(program: Program, words: readonly string[]): Promise<number> {
  const options = await program.helpOptions(program.out)
  const description = await describe(program)
  const commands = description ? withLocal(description.commands) : localCommands
  const [topic] = words
  const isJson = program.format === 'json'
  if (program.options.tags) {
    const tagged = commands.filter(({ tags }) => topic === undefined || tags.includes(topic))
    if (tagged.length === 0) return unknown(program, `Error: no command has the tag: "${topic}"`)
    await program.out.write(`${topic === undefined ? tagList(tagged, options) : list(tagged, options)}\n`)
    return exit.done
  }
  if (topic === undefined) {
    await program.out.write(isJson ? json(commands) : `${overview(description, options)}\n`)
    return exit.done
  }
  const found = matching(commands, topic)
  if (found.length > 0) {
    await program.out.write(isJson ? json(found) : `${pages(found, options)}\n`)
    return exit.done
  }
  if (!description) {
    throw new NoServer(
      `No server answers, so only the commands of gatehousectl itself are known: ${localCommands.map(({ name }) => name).join(', ')}`,
    )
  }
  const { nearest = [] } = await (await program.client()).describe(topic.replaceAll('-', '_'))
  const hint = nearest.length > 0 ? `\n${didYouMean(nearest)}` : ''
  return unknown(program, `Error: not command found that match: "${topic}"${hint}`)
}

/** For `gatehousectl man | man -l -`. */
export async function runMan(program: Program): Promise<number> {
  const { manPage } = await import('./man-page.ts')
  const description = await describe(program)
  await program.out.write(manPage(description ? withLocal(description.commands) : localCommands))
  return exit.done
}

async function unknown(program: Program, message: string): Promise<number> {
  await program.err.write(`${message}\n`)
  return exit.usage
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

async function describe(program: Program): Promise<Description | undefined> {
  try {
    return await (await program.client()).describe()
  } catch (error) {
    if (error instanceof NoServer) return undefined
    throw error
  }
}
