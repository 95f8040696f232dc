module muster/sdk

go 1.21
