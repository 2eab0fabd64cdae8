// @vitest-environment jsdom
import { expect, test } from "vitest";

import { typeset } from "../../src/views/mathml";

test("formulas are rebuilt as MathML", () => {
  const math = typeset('<mrow><mn>2</mn><mo>&#x2062;</mo><msup><mi mathvariant="normal">mass</mi><mn>2</mn></msup></mrow>', "2*mass**2", true);
  expect(math.localName).toBe("math");
  expect(math.namespaceURI).toBe("http://www.w3.org/1998/Math/MathML");
  expect(math.textContent).toBe("2\u2062mass2");
  expect(math.querySelector("mi")!.getAttribute("mathvariant")).toBe("normal");
});

test.each([
  "<mi onclick='alert(1)' href='javascript:alert(1)' style='position:fixed' id='x' class='y'>x</mi>",
  "<mrow><script>alert(1)</script><mi>x</mi></mrow>",
  "<mtext><img xmlns='http://www.w3.org/1999/xhtml' src='x' onerror='alert(1)'/></mtext>",
  "<annotation-xml encoding='text/html'><iframe src='javascript:alert(1)'/></annotation-xml>",
  "<maction actiontype='statusline'><mi>x</mi></maction>",
  "<mi xlink:href='javascript:alert(1)' xmlns:xlink='http://www.w3.org/1999/xlink'>x</mi>",
  "<svg xmlns='http://www.w3.org/2000/svg'><use href='#x'/></svg>",
  "<?xml-stylesheet href='x'?><mi>x</mi><!-- note -->",
])("nothing but elements and attributes of formulas comes through: %s", (inside) => {
  const math = typeset(inside, "x");
  expect(math.localName).toBe("math");
  for (const element of [math, ...math.querySelectorAll("*")]) {
    expect(element.namespaceURI).toBe("http://www.w3.org/1998/Math/MathML");
    expect(["math", "mi", "mrow", "mtext"]).toContain(element.localName);
    expect([...element.attributes].map(({ name }) => name)).toEqual([]);
  }
});

test.each(["<mi>x", "</math><script>alert(1)</script><math>", "&nbsp;<mi>x</mi>", ""])("what cannot be read is shown as text: %s", (inside) => {
  const shown = typeset(inside, "a < b & $c$");
  expect(shown.localName).toBe("code");
  expect(shown.textContent).toBe("a < b & $c$");
  expect(shown.childElementCount).toBe(0);
});
