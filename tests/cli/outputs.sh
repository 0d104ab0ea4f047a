# xai explain -o: every format, names of batches and targets, provenance; contact sheets.
. "${0%/*}/common.inc"
digest=$(sha256sum "$model" | cut -d' ' -f1)

# One item, every format at once; nothing on stdout, nothing else written.
mkdir one
expect 0 explain "$model" "$boot" -o one/r.npy -o one/r.npz -o one/r.png -o one/r.json
[ ! -s out ] || fail "$last: prints $(head -1 out)"
[ ! -s err ] || fail "$last: says $(cat err)"
[ "$(ls one | tr '\n' ' ')" = "r.json r.npy r.npz r.png " ] || fail "$last: wrote $(ls one)"
npy one/r.npy "'shape': (1, 1, 28, 28)"
npy one/r.npy "'descr': '<f4'"
[ "$(wc -c <one/r.npy)" -eq $((128 + 4 * 784)) ] || fail "one/r.npy has $(wc -c <one/r.npy) bytes"
png one/r.png 28x28
json one/r.json

# Provenance.
for key in provenance relevance/image target f sum; do holds one/r.npz "$key.npy"; done
for key in tool library command model model_sha256 method params source input target label f sum \
  scale; do
  grep -qa "tEXt$key" one/r.png || fail "one/r.png has no tEXt $key"
done
holds one/r.png "$digest"
holds one/r.png "Ankle boot"
for key in tool library command model model_sha256 method params source targets random_seed; do
  holds one/r.json "\"$key\": "
done
holds one/r.json "\"model_sha256\": \"$digest\""
for key in input target label f sum scale name shape top; do holds one/r.json "\"$key\": "; done
expect 0 explain "$model" "$boot" --json
cmp out one/r.json || fail "--json is not the .json file"

# A page with its pictures inside and nothing from elsewhere.
expect 0 explain "$model" "$boot" "$pullover" --target top:2 -o page.html
count page.html 4 '^<h2>0[01]-'
count page.html 12 '<img alt="[a-z ]*" src="data:image/png;base64,iVBOR[A-Za-z0-9+/]*=*">'
for text in '<th>model_sha256</th>' 'epsilon-plus explains' 'stabilizer=1e-06' '</html>'; do
  holds page.html "$text"
done
lacks page.html 'http'

# The archive holds what the array holds, and reads back.
expect 0 run "$model" one/r.npy -o a.npy
expect 0 run "$model" one/r.npz:relevance/image -o b.npy
cmp a.npy b.npy || fail ".npz and .npy differ"

# Several targets: a leading axis, or a file each.
expect 0 explain "$model" "$boot" --target 9,3 -o t.npy -o 't-%t.npy' -o 't-%t.png'
npy t.npy "'shape': (2, 1, 1, 28, 28)"
{
  tail -c 3136 t-9.npy
  tail -c 3136 t-3.npy
} | cmp - <(tail -c 6272 t.npy) || fail "targets one by one are not the leading axis"
png t-9.png 28x28
png t-3.png 28x28
refuse 2 "%t" explain "$model" "$boot" --target 9,3 -o t.png

# A batch: stacked, a file each, or a folder.
mkdir folder
cp "$boot" "$pullover" folder
expect 0 explain "$model" folder -o s.npy -o 's-%i.npy' -o 'made/%n.png' -o s.npz -o s.json
npy s.npy "'shape': (2, 1, 28, 28)"
{
  tail -c 3136 s-0.npy
  tail -c 3136 s-1.npy
} | cmp - <(tail -c 6272 s.npy) || fail "items one by one are not the stack"
png made/00-ankle-boot.png 28x28
png made/01-pullover.png 28x28
count s.json 2 '"input": '
json s.json
refuse 2 "%i" explain "$model" folder -o s.png
expect 0 explain "$model" folder -o res/
[ "$(ls res | tr '\n' ' ')" = \
  "00-ankle-boot.npy 00-ankle-boot.png 01-pullover.npy 01-pullover.png report.json " ] ||
  fail "$last: wrote $(ls res)"
expect 0 explain "$model" folder --target top:2 -o many/
[ "$(ls many | wc -l)" -eq 9 ] || fail "$last: wrote $(ls many)"
expect 0 explain "$model" folder --target top:2 -o m.npy
npy m.npy "'shape': (2, 2, 1, 28, 28)"

# Neighbours of the same name keep their own files.
mkdir other
cp "$boot" other
expect 0 explain "$model" folder other -o same/
[ "$(ls same/*.npy | wc -l)" -eq 3 ] || fail "$last: wrote $(ls same)"
refuse 2 "same name" explain "$model" folder other -o '%n.npy'
expect 0 explain "$model" "$boot" "$boot" -o twice/
[ "$(ls twice/*.npy | wc -l)" -eq 2 ] || fail "$last: wrote $(ls twice)"
expect 0 explain "$model" "$boot" -o '100%%.npy'
[ -f '100%.npy' ] || fail "%% is no percent sign: $(ls)"

# Pictures: zoom, overlay, palette, channels, clip.
expect 0 explain "$model" "$boot" --zoom 4 -o zoom.png
png zoom.png 112x112
expect 0 explain "$model" "$boot" --overlay --zoom 2 -o overlay.png
png overlay.png 56x56
for option in "--palette orange-purple" "--clip 90" "--overlay"; do
  # shellcheck disable=SC2086
  expect 0 explain "$model" "$boot" $option -o p.png
  cmp -s p.png one/r.png && fail "$option changes nothing"
done
for c in sum mean max-abs; do expect 0 explain "$model" "$boot" --channels $c -o c.png; done

# A contact sheet; one that cannot be.
expect 0 explain "$model" folder -m gradient -m saliency --sheet sheet.png
holds sheet.png "gradient;saliency"
holds sheet.png "$digest"
head -c 8 sheet.png | grep -qa PNG || fail "sheet.png is no PNG"
refuse 2 "one target" explain "$model" "$boot" -m gradient --target 1,2 --sheet sheet2.png
refuse 2 "one method" explain "$model" "$boot" -m gradient -m saliency --sheet s.png -o s.npy

# The same call gives the same bytes.
mkdir again
expect 0 explain "$model" "$boot" -o again/r.npy -o again/r.npz -o again/r.png -o again/r.json
for f in r.npy r.npz r.png r.json; do cmp one/$f again/$f || fail "$f differs the second time"; done

finish
