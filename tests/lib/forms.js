// Well-formed commands, made from what COMMAND DOCS says of their arguments.
//
// A form is a list of words {text, type, name}; type and name are the argument's. The first form of a command has
// what must be there; each of the others has one choice more that leads to a number.

const NUMERIC = ['integer', 'double', 'unix-time'];

const SAMPLE = {
  key: 'k',
  string: 'a',
  pattern: '*',
  integer: '1',
  double: '1.5',
  'unix-time': '4102444800',
};

// By the argument's name, where its type does not say what may stand there.
const NAMED = {
  cursor: '0',
  destination: 'd',
  newkey: 'd',
  encoding: 'u8',
  expression: '$',
  end: '+',
  id: '1-1',
  json: '1',
  'last-id': '1-1',
  lastid: '1-1',
  max: '+',
  min: '-',
  path: '$',
  script: 'return 1',
  start: '-',
  threshold: '1',
};

export const isNumeric = (word) => NUMERIC.includes(word.type);

function leaf(arg) {
  if (arg.type === 'pure-token') {
    return [[{ text: arg.token, type: 'token', name: arg.name }]];
  }
  const isText = arg.type === 'string' || (arg.type === 'key' && /^dest|^newkey/.test(arg.name));
  const text = (isText && NAMED[arg.name]) || SAMPLE[arg.type] || 'a';
  return [[{ text, type: arg.type, name: arg.name }]];
}

// Of several arguments in a row: the plain ones, then each with one of its own further forms.
function row(args) {
  const all = args.map(variants);
  const plainly = all.map((v) => v[0]);
  const out = [plainly.flat()];
  all.forEach((v, i) => {
    for (const other of v.slice(1)) {
      out.push(plainly.with(i, other).flat());
    }
  });
  return out;
}

function variants(arg) {
  const flags = arg.flags ?? [];
  let out;
  if (arg.type === 'oneof') {
    // An id that the server chooses is another one on each.
    out = arg.arguments.filter((a) => a.token !== '*').flatMap(variants);
  } else {
    out = arg.type === 'block' ? row(arg.arguments) : leaf(arg);
  }
  if (arg.token && arg.type !== 'pure-token') {
    out = out.map((words) => [{ text: arg.token, type: 'token', name: arg.name }, ...words]);
  }
  const [first, ...others] = out;
  const numeric = (list) => list.filter((words) => words.some(isNumeric));
  return flags.includes('optional') ? [[], ...numeric(out)] : [first, ...numeric(others)];
}

// name: 'config|get'; docs: its entry of COMMAND DOCS.
export function forms(name, docs) {
  const words = name.split('|').map((text) => ({ text, type: 'name' }));
  return row(docs.arguments ?? []).map((rest) => [...words, ...rest]);
}

export const texts = (form) => form.map((word) => word.text);

// COMMAND DOCS as objects by name, subcommands beside their containers. The client speaks RESP2 or 3.
export async function readDocs(client) {
  const out = {};
  const take = (flat) => {
    const map = toMap(flat);
    for (const [name, entry] of Object.entries(map)) {
      out[name] = { ...toMap(entry) };
      out[name].arguments = toArguments(out[name].arguments);
      if (out[name].subcommands) {
        take(out[name].subcommands);
      }
    }
  };
  take(await client.cmd('COMMAND', 'DOCS'));
  return out;
}

function toMap(flat) {
  if (!Array.isArray(flat)) {
    return flat ?? {};
  }
  return Object.fromEntries(flat.flatMap((k, i) => (i % 2 ? [] : [[k, flat[i + 1]]])));
}

function toArguments(list) {
  return list?.map((flat) => {
    const arg = toMap(flat);
    return arg.arguments ? { ...arg, arguments: toArguments(arg.arguments) } : arg;
  });
}

// COMMAND's rows, subcommands beside their containers.
export async function readCommands(client) {
  const rows = await client.cmd('COMMAND');
  const one = (r) => ({ name: r[0], arity: r[1], flags: r[2], firstKey: r[3], specs: r[8] });
  return rows.flatMap((r) => [one(r), ...(r[9] ?? []).map(one)]);
}
